"""Training on two hosts: two network namespaces, joined by a cable, as two computers are."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killed_runs import outcome
from training_world import TINY, write_world

pytestmark = pytest.mark.skipif("DRAGOMAN_INTEROP" not in os.environ, reason="takes minutes: make interop")
ADDRESS = "10.97.{}.{}"
PORT = 29400
SETTINGS = TINY | {"batch_size": "16", "validate_every": "1000", "checkpoint_every": "20"}
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
SOON = 120
"""Seconds in which a host must have noticed that the other is gone; it takes one or two."""


class Hosts:
    """Two namespaces of the network, each with one end of a cable."""

    def __init__(self) -> None:
        self._net = os.getpid() % 250
        self.names = [f"dragoman{os.getpid()}{end}" for end in "ab"]
        self.ends = [f"dm{os.getpid()}{end}" for end in "ab"]

    def join(self) -> None:
        """Raises CalledProcessError where this user may not."""
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", self.ends[0], "netns", self.names[0], "type", "veth", "peer", "name", self.ends[1])
        ip("link", "set", self.ends[1], "netns", self.names[1])
        for number, (name, end) in enumerate(zip(self.names, self.ends, strict=True)):
            ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", end)
            for one in ("lo", end):
                ip("-n", name, "link", "set", one, "up")

    def part(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def address(self, number: int) -> str:
        return ADDRESS.format(self._net, number + 1)

    def start(self, number: int, *arguments: object) -> subprocess.Popen[str]:
        """Start `torchrun` on a host, one process of two."""
        command = ["ip", "netns", "exec", self.names[number], *TORCHRUN, "--nnodes", "2"]
        command += ["--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "both"]
        command += ["--rdzv-endpoint", f"{self.address(0)}:{PORT}", "--local-addr", self.address(number)]
        command += ["--rdzv-conf", f"is_host={1 - number}", *train(*arguments)]
        environment = ENVIRONMENT | {"GLOO_SOCKET_IFNAME": self.ends[number]}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def kill(self, number: int) -> None:
        """Kill all that runs on a host."""
        told = subprocess.run(["ip", "netns", "pids", self.names[number]], capture_output=True, text=True)
        for process in told.stdout.split():
            os.kill(int(process), signal.SIGKILL)


TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def train(*arguments: object) -> list[str]:
    return ["-m", "dragoman", "train", *map(str, arguments)]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("two hosts need the program ip: apt-get install iproute2")
    found = Hosts()
    try:
        found.join()
    except subprocess.CalledProcessError as error:
        found.part()
        pytest.skip(f"two hosts need namespaces of the network, for which one must be root: {error.stderr}")
    yield found
    for number in (0, 1):
        found.kill(number)  # where a test failed
    found.part()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


def given(corpus: Path, out: Path, steps: int) -> list[object]:
    options = ["--recipe", "nrccr", "--targets", "pt", "--features", "toy", "--device", "cpu"]
    named = SETTINGS | {"steps": str(steps)}
    settings = [word for name, value in named.items() for word in ("--set", f"{name}={value}")]
    return [corpus, *options, "--out", out, *settings]


def one_host(*arguments: object) -> None:
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", *train(*arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_hosts_train_what_two_processes_of_one_train_though_one_is_lost(
    hosts: Hosts, corpus: Path, tmp_path: Path
) -> None:
    steps = 200
    one_host(*given(corpus, tmp_path / "one", steps))
    both = [hosts.start(number, *given(corpus, tmp_path / "two", steps)) for number in (0, 1)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert outcome(tmp_path / "two") == outcome(tmp_path / "one")

    out = tmp_path / "lost"
    first, second = (hosts.start(number, *given(corpus, out, steps)) for number in (0, 1))
    while not (out / "checkpoints" / "last.pt").exists():
        assert first.poll() is None and second.poll() is None
        time.sleep(0.02)
    hosts.kill(1)
    _, told = first.communicate(timeout=SOON)
    second.communicate()
    assert first.returncode == 1
    (error,) = [line for line in told.splitlines() if line.startswith("Error: ")]
    assert "Another process of this training is gone (" in error and "on any hosts" in error
    assert told.count("most recent call last") == 1  # that of torchrun itself
    assert not (out / "manifest.json").exists()
    # What is left of the hosts goes on, with both processes on one.
    one_host(*given(corpus, out, steps))
    assert outcome(out) == outcome(tmp_path / "one")
