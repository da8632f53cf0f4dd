"""Run as a script: train in processes that are killed at one step, or one change of the disk, after another.

Arguments: corpus, folder for the runs, recipes; the recipe `extension` adds a language to a run that was
trained before. Prints one JSON line a kill: the recipe, what it was, and whether the run, resumed, ended as
the one that was never killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # every process of its own would import it at its first step, for longer than it trains
from training_world import tiny

from dragoman.training import TrainConfig, extended_config, train

torch.set_num_threads(1)  # a process forked from one that runs threads may hang
STEPS = "14"


def settings(recipe: str) -> dict[str, str]:
    shown = {"schedule": "nrccr", "chunk": "5"} if recipe == "nrccr" else {"schedule": "cosine"}
    return shown | {"steps": STEPS, "checkpoint_every": "3", "validate_every": "0.5"}


def configured(init: Path, recipe: str) -> TrainConfig:
    if recipe == "extension":
        # The whole text side and a norm's statistics: as much as can change.
        return extended_config(init, ("de",)).with_settings(settings(recipe) | {"extension.learn": "text"})
    return tiny(recipe, **settings(recipe))


def run(corpus: Path, out: Path, recipe: str, arm: Callable[[], Callable[[int], None]]) -> int:
    """Train in a process of its own, with `arm()` as `on_step`; its status."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    init = out.parent / "before"
    config = configured(init, recipe)
    start = init if recipe == "extension" else None
    train(corpus, config, out, init=start, device="cpu", on_step=arm())
    os._exit(0)


def never() -> Callable[[int], None]:
    return lambda step: None


def at_step(number: int) -> Callable[[], Callable[[int], None]]:
    def on_step(step: int) -> None:
        if step == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: on_step


def at_rename(number: int) -> Callable[[], Callable[[int], None]]:
    """Just before the n-th file takes its final name."""

    def arm() -> Callable[[int], None]:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event == "os.rename":
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        return lambda step: None

    return arm


def outcome(out: Path) -> dict[str, object]:
    """All that must be equal: the model's bytes, the value, and the history but for the speed."""
    manifest = json.loads((out / "manifest.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {
        "model": {file.name: file.read_bytes().hex() for file in sorted((out / "model").iterdir())},
        "best": [manifest["best"], manifest["best_step"], manifest["steps"]],
        "history": [{k: v for k, v in line.items() if k != "captions_per_second"} for line in lines],
    }


def main(corpus: Path, runs: Path, recipe: str) -> None:
    if recipe == "extension":
        assert run(corpus, runs / "before", "translate_train", never) == 0
    assert run(corpus, runs / "whole", recipe, never) == 0
    whole = outcome(runs / "whole")
    draws = random.Random(recipe)
    kills = [("step", number) for number in draws.sample(range(1, int(STEPS)), 2)]
    # The files in their order: config, metrics, a checkpoint, then the four of a model, a checkpoint, …
    kills += [("rename", number) for number in (5, 7, draws.randrange(8, 12))]
    for kind, number in kills:
        out = runs / f"{kind}{number}"
        status = run(corpus, out, recipe, {"step": at_step, "rename": at_rename}[kind](number))
        resumed = run(corpus, out, recipe, never)
        same = resumed == 0 and outcome(out) == whole
        print(
            json.dumps({"recipe": recipe, "kill": f"{kind} {number}", "status": status, "same": same}),
            flush=True,
        )


if __name__ == "__main__":
    for recipe in sys.argv[3:]:
        main(Path(sys.argv[1]), Path(sys.argv[2], recipe), recipe)
