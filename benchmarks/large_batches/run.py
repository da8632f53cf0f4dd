"""Memory, time and gradient of a training step of 4,096 texts: at once, in chunks, in two processes.

    python benchmarks/large_batches/run.py --corpus CORPUS --features NAME [--targets pt] [--texts 4096]

CORPUS has source captions with machine translations in its train split. Every row is a fresh process that
takes two steps: the first brings the optimizer's memory, the second is timed by its CPU seconds, which other
work on the computer disturbs least. Then it takes a third under the profiler, which counts every tensor.
Prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MB = 1e6
STILL = ("text.dropout", "text.piece_dropout", "text.whole_dropout", "dual.dropout", "dual.image_dropout")


def main() -> None:
    """Measure and print, or be the process of one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--targets", default="pt")
    parser.add_argument("--texts", type=int, default=4096)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        found = measure(options, **json.loads(options.row))
        print(json.dumps(found))
    else:
        table(options)


def table(options: argparse.Namespace) -> None:
    """One line a row."""
    print(
        "| objective | Transformer layers | texts | chunk | processes | tensors, MB | resident, MB | CPU s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for recipe, layers in (("translate_train", 2), ("nrccr", 0)):
        for texts, chunk, processes in (
            (options.chunk, None, 1),
            (options.texts, None, 1),
            (options.texts, options.chunk, 1),
            (options.texts, options.chunk, 2),
        ):
            row = {"recipe": recipe, "layers": layers, "texts": texts, "chunk": chunk}
            found = started(row, processes)
            tensors, resident = (
                " + ".join(f"{one[name] / MB:.0f}" for one in found) for name in ("tensors", "resident")
            )
            seconds = " + ".join(f"{one['seconds']:.1f}" for one in found)
            print(f"| {recipe} | {layers} | {found[0]['texts']} | {chunk or 'none'} | {processes} "
                  f"| {tensors} | {resident} | {seconds} |", flush=True)  # fmt: skip
    for recipe, layers in (("translate_train", 2), ("nrccr", 0)):
        row = {"recipe": recipe, "layers": layers, "texts": options.texts, "chunk": options.chunk}
        (found,) = started(row | {"compare": True}, 1)
        print(f"\n{recipe}, {layers} layers, dropout off: the gradients of chunks differ by at most "
              f"{found['difference']:.1e} (largest entry {found['largest']:.2f})", flush=True)  # fmt: skip


def started(row: dict[str, Any], processes: int) -> list[dict[str, Any]]:
    """Start the processes of a row and return what each says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    shared = os.environ | place | {"WORLD_SIZE": str(processes)}
    command = [sys.executable, *sys.argv, "--row", json.dumps(row)]
    running = [
        subprocess.Popen(
            command,
            env=shared | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}),
            stdout=subprocess.PIPE,
        )
        for rank in range(processes)
    ]
    said = [one.communicate()[0] for one in running]
    assert [one.returncode for one in running] == [0] * processes
    return [json.loads(text) for text in said]


def measure(
    options: argparse.Namespace,
    recipe: str,
    layers: int,
    texts: int,
    chunk: int | None,
    compare: bool = False,
) -> dict[str, Any]:
    """Bytes and seconds of a step; or, with `compare`, its gradient beside that of a whole step."""
    state, step = prepared(options, recipe, layers, texts, chunk, still=compare)
    if compare:
        whole, _ = prepared(options, recipe, layers, texts, None, still=True)
        mine, theirs = gradients(state, step), gradients(whole, step)
        return {
            "difference": max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True)),
            "largest": max(float(gradient.abs().max()) for gradient in theirs),
        }
    state.take_step(step, 1.0)
    before = time.process_time()
    state.take_step(step, 1.0)
    seconds = time.process_time() - before
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tensors = peak(lambda: state.take_step(step, 1.0))
    return {"texts": len(step.texts), "seconds": seconds, "resident": resident, "tensors": tensors}


def prepared(
    options: argparse.Namespace, recipe: str, layers: int, texts: int, chunk: int | None, still: bool
) -> tuple[Any, Any]:
    """A fresh state, and a step of about so many texts."""
    from dragoman.corpus import Corpus
    from dragoman.recipes import load_recipe
    from dragoman.training.augment import load_augmentation
    from dragoman.training.batches import StepPlan
    from dragoman.training.processes import join_processes
    from dragoman.training.samples import load_samples
    from dragoman.training.step import TrainState

    config = load_recipe(recipe)("en", tuple(options.targets.split(",")), options.features)
    settings = {"batch_size": str(texts // 2), "chunk": str(chunk or "none"), "text.layers": str(layers)}
    settings |= {"back_share": "0.25"} | (dict.fromkeys(STILL, "0") | {"clip": "0"} if still else {})
    config = config.with_settings(settings)
    corpus, back = Corpus.open(options.corpus), "back" in config.loss.needs
    samples = load_samples(corpus, config, back=back)
    plan = StepPlan(samples=samples, config=config, back=back, augmentation=load_augmentation(corpus, config))
    return TrainState(config, corpus, samples, processes=join_processes("cpu")), plan.step(0)


def gradients(state: Any, step: Any) -> list[Any]:
    """Gradients of all that learns, after one step."""
    state.take_step(step, 1.0)
    return [parameter.grad for parameter in state.trained if parameter.grad is not None]


def peak(work: Callable[[], object]) -> int:
    """Most bytes of tensors that `work` holds at once, beyond weights and optimizer."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    held, most = 0, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


if __name__ == "__main__":
    main()
