"""Run as a script: what two processes exchange and compute together, RANK 0 and 1, one pair after another.

The argument is a JSON list of works, each with its own arguments. `gradients CORPUS OUT` stores those of
every case, and what was gathered; `run CORPUS OUT [STEP]` trains, and with a step, the second process alone
gets a signal after it; so does `still`, without dropout. A thread of gloo that is left at the exit is named
on stderr. Prints, as a JSON list, status and stderr of both processes of every work.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # before the fork: every process would import it at its first step
from gradients import CASES, FUSED, STILL, config_of, fixed_draws, gradients
from training_world import tiny

from dragoman.training import train
from dragoman.training.processes import Processes, join_processes

CHUNKS = ("none", "7")
SETTINGS = {"steps": "10", "validate_every": "0.5", "checkpoint_every": "4", "chunk": "9"}


def all_gradients(corpus: Path, out: Path) -> None:
    processes = join_processes("cpu")
    for number, (recipe, targets, settings) in enumerate(CASES):
        for chunk in CHUNKS:
            config = config_of(recipe, targets, STILL | settings | {"chunk": chunk})
            torch.save(gradients(corpus, config, processes), out / f"{number}-{chunk}-{processes.rank}.pt")
    with fixed_draws():
        for chunk in CHUNKS:
            config = config_of(*FUSED[:2], STILL | FUSED[2] | {"chunk": chunk})
            torch.save(gradients(corpus, config, processes), out / f"fused-{chunk}-{processes.rank}.pt")
    torch.save(exchanged(processes), out / f"exchanged-{processes.rank}.pt")


def exchanged(processes: Processes) -> dict[str, Any]:
    """Two rows of three tokens from the first process, one of two from the second, and the like."""
    rank = processes.rank
    tokens = torch.full((2 - rank, 3 - rank, 2), 1.0 + rank, requires_grad=True)
    gathered = processes.gather(tokens)
    (gathered * torch.arange(18.0).view(3, 3, 2)).sum().backward()
    reached, shared, unreached = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    reached.grad, shared.grad = torch.tensor([1.0, 2.0]) * (rank + 1), torch.ones(2)
    if rank:
        shared.grad = None
    whole = torch.nn.Parameter(torch.zeros(1))
    whole.grad = torch.tensor([3.0])
    processes.add_gradients([reached, shared, unreached], [whole])
    return {
        "tokens": gathered.detach(),
        "gradient": tokens.grad,
        "nothing": processes.gather(torch.zeros(0, 2)),
        "from one": processes.gather(torch.ones(rank, 2)),
        "bytes": processes.gather(torch.tensor([[True], [False]])[rank:]),
        "half": processes.gather(torch.full((1, 2), 0.5 + rank, dtype=torch.bfloat16)),
        "grads": [parameter.grad for parameter in (reached, shared, unreached, whole)],
        "share": [list(range(count))[processes.share(count)] for count in (0, 1, 5)],
        "of first": processes.of_first(torch.tensor([5 + rank])),
        "largest": processes.largest(7 - rank),
        "first": processes.on_first(lambda: f"from {rank}"),
        "draw": float(torch.rand(1)),
    }


def run(corpus: Path, out: Path, step: str = "0", **more: str) -> None:
    def on_step(number: int) -> None:
        if str(number) == step and os.environ["RANK"] == "1":
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    train(corpus, tiny("nrccr", **SETTINGS).with_settings(more), out, device="cpu", on_step=on_step)


def still(corpus: Path, out: Path, step: str) -> None:
    run(corpus, out, step, **STILL)


def threads() -> list[str]:
    names = [Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return [name for name in names if "gloo" in name]


def both(work: list[str]) -> list[tuple[int, str]]:
    """Status and stderr of two processes, forked from this one, which has imported PyTorch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = []
    for rank in ("0", "1"):
        said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (open in the child until it ends)
        if not (child := os.fork()):
            os.dup2(said.fileno(), 2)
            os.environ |= shared | {"RANK": rank, "LOCAL_RANK": rank}
            atexit.register(lambda: sys.stderr.write("".join(threads())))
            name, corpus, out, *more = work
            {"gradients": all_gradients, "run": run, "still": still}[name](Path(corpus), Path(out), *more)  # type: ignore[operator]
            sys.exit()
        started.append((child, said))
    ended = []
    for child, said in started:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        ended.append((status, said.read()))
        said.close()
    return ended


if __name__ == "__main__":
    print(json.dumps([both(work) for work in json.loads(sys.argv[1])]))
