"""Workers of a Ray cluster: how the speed grows with their number.

    python benchmarks/scale/workers.py

Blocks go through `dragoman.blocks`, as those of `dragoman features --ray` do. Workers that sleep show what
the way of blocks costs, whatever this computer has: 1 to 16 of them, on one computer. Workers that compute
need cores: one and two of them, in turn, beside one and two bare processes that do the same, since what a
busy computer gives to a second process is not known beforehand. A clock runs from the first block to the
last; the start of the workers is not in it.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dragoman.blocks import Cluster, Compute, gathered
from dragoman.pipelines.experiment import circumstances, table, write_results

FOLDER = Path(__file__).parent
SLEEPING = (1, 2, 4, 8, 16)
SECONDS = 0.5
"""Sleep of a block."""
BLOCKS = 24
"""Blocks for each worker."""
HASHED = bytes(1 << 20)
TIMES = 400
"""Times that a computing block hashes a megabyte: about half a second of a core."""

Times = tuple[float, float]
"""Beginning and end of a block."""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of computing")
    rounds = parser.parse_args().rounds
    import ray

    # At the beginning: files may change while this runs.
    told = circumstances("python benchmarks/scale/workers.py", ray=ray.__version__)
    ray.init(num_cpus=max(SLEEPING), object_store_memory=80_000_000, include_dashboard=False)
    sleeping = {count: by_ray(count, partial(time.sleep, SECONDS)) for count in SLEEPING}
    computing: dict[str, list[float]] = {f"{way} {count}": [] for way in ("bare", "ray") for count in (1, 2)}
    for _ in range(rounds):
        for count in (1, 2):
            computing[f"bare {count}"].append(bare(count))
            computing[f"ray {count}"].append(by_ray(count, compute))
    told["load"] = round(os.getloadavg()[0], 1)
    everything = {"circumstances": told, "sleeping": sleeping, "computing": computing}
    write_results(FOLDER, everything, page(everything), "workers")


def compute() -> None:
    """Do the work of a block."""
    for _ in range(TIMES):
        hashlib.sha256(HASHED).digest()


def by_ray(count: int, work: Callable[[], object]) -> float:
    """Blocks a second of so many workers."""
    with tempfile.TemporaryDirectory() as folder, gathered(Cluster(ray="auto", ray_workers=count)) as workers:
        blocks = [[number] for number in range(BLOCKS * count)]
        return speed(workers.computed(partial(load, Path(folder), count, work), blocks))


def bare(count: int) -> float:
    """Blocks a second of so many processes without Ray."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(count) as pool:
        begun = partial(alone, Path(folder), count)
        made = pool.map(begun, range(count), chunksize=1)
        # Ended by themselves: Ray has a word to say about signals.
        pool.close()
        pool.join()
    return speed(times for some in made for times in some)


def alone(folder: Path, count: int, number: int) -> list[Times]:
    """Do the blocks of one process."""
    return list(load(folder, count, compute)(range(BLOCKS)))


def speed(made: Iterable[Times]) -> float:
    """Blocks a second between the first beginning and the last end."""
    begun, ended = zip(*made, strict=True)
    return len(ended) / (max(ended) - min(begun))


def load(folder: Path, count: int, work: Callable[[], object]) -> Compute[int, Times]:
    """Wait until all workers are here, so that none has done a part before the others begin."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < count:
        time.sleep(0.01)
    return partial(done, work)


def done(work: Callable[[], object], blocks: Iterable[int]) -> Iterator[Times]:
    """Do blocks, and tell when."""
    for _ in blocks:
        begun = time.time()
        work()
        yield begun, time.time()


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """Write the page."""
    told, sleeping, computing = (everything[name] for name in ("circumstances", "sleeping", "computing"))
    yield "# Workers of a Ray cluster"
    yield ""
    yield f"`{told['command']}`, commit {told['commit']}; {told['computer']}; Ray {told['ray']}. **A computer"
    yield f"that others used**: its load at the end was {told['load']}."
    yield ""
    yield "Efficiency is the speed of N workers by N times that of one, from the first block to the last."
    yield ""
    yield f"## Blocks that sleep {SECONDS} s: the way of blocks alone"
    yield ""
    yield f"{BLOCKS} blocks a worker, one run of each, all workers and the driver on this one computer."
    yield ""
    rows = [
        (count, f"{each:.2f}", f"{each / count / sleeping[1]:.2f}", f"{each * SECONDS / count:.2f}")
        for count, each in sleeping.items()
    ]
    yield from table(("workers", "blocks a second", "efficiency", "of sleep alone"), rows)
    yield ""
    yield "## Blocks that compute: one and two workers"
    yield ""
    rounds = len(computing["ray 1"])
    yield f"{BLOCKS} blocks a worker, {rounds} rounds in turn; speed of two by that of one in the same round."
    yield ""
    rows = [
        (way, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}")
        for way in ("bare", "ray")
        for ratios in [ratios_of(computing, way)]
    ]
    yield from table(("way", "two by one, median", "range"), rows)
    yield ""
    by = [
        other / one
        for one, other in zip(ratios_of(computing, "bare"), ratios_of(computing, "ray"), strict=True)
    ]
    yield "Efficiency of two workers by that of two bare processes of the same round, which have no Ray"
    yield f"between them: {statistics.median(by):.2f} (median; {min(by):.2f} to {max(by):.2f})."


def ratios_of(computing: Mapping[str, list[float]], way: str) -> list[float]:
    """Speed of two by that of one, for each round."""
    return [two / one for one, two in zip(computing[f"{way} 1"], computing[f"{way} 2"], strict=True)]


if __name__ == "__main__":
    main()
