"""Train on a busy computer: with the default number of threads, beside one thread.

    python benchmarks/reliability/threads.py [--rounds 3] [--others 0]

Two processes a core compute all the while, or as many as --others says: 0 where the computer is busy enough
by itself. A small run is trained by `dragoman train` on a generated world:
in one thread, with the defaults, and with threads that wait by spinning (OMP_WAIT_POLICY=ACTIVE), as they did
before. Prints the seconds of each round, and the median of the ratios to one thread of the same round.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dragoman.pipelines.computer import commit_and_computer
from dragoman.scenes.world import WorldSettings, write_world

WAYS = {"one thread": {"OMP_NUM_THREADS": "1"}, "default": {}, "spinning": {"OMP_WAIT_POLICY": "ACTIVE"}}
TRAIN = "train {world} --recipe source_only --features grid --set steps=40 --set validate_every=1000"


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=int, default=2 * (os.cpu_count() or 1))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder, "world")
        write_world(world, WorldSettings(items=240))
        others = [multiprocessing.Process(target=busy, daemon=True) for _ in range(options.others)]
        for other in others:
            other.start()
        ratios: dict[str, list[float]] = {name: [] for name in WAYS}
        for number in range(options.rounds):
            seconds = {
                name: trained(world, Path(folder, f"{number}-{name}"), more) for name, more in WAYS.items()
            }
            for name, taken in seconds.items():
                ratios[name].append(taken / seconds["one thread"])
            print(number, {name: round(taken, 1) for name, taken in seconds.items()}, flush=True)
    told = ", ".join(f"{name} {statistics.median(some):.2f}" for name, some in ratios.items())
    print(f"times of one thread: {told}; {options.rounds} rounds, {commit_and_computer()}")


def busy() -> None:
    """Compute until the end."""
    while True:
        pass


def trained(world: Path, out: Path, more: dict[str, str]) -> float:
    """Seconds of a training in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "MKL_"))}
    command = [sys.executable, "-m", "dragoman", "-q", *TRAIN.format(world=world).split(), "--out", str(out)]
    started = time.perf_counter()
    subprocess.run(command, env=environment | more, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
