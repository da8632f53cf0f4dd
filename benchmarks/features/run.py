"""Images per second of `extract_features` beside the bare tower and a plain loop, on the same photos.

    python benchmarks/features/run.py --photos FOLDER --encoder FOLDER [--limit 2000] [--rounds 10]

Every round takes its share of the photos through all three, one after the other, so that a busy computer
slows all of them alike. CPU seconds count all threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.format import CORPUS
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.folders import versions
from dragoman.media.images import Decoding, open_image
from dragoman.models.vision import VisionTower


def corpus_of(photos: Sequence[Path], folder: Path) -> Path:
    rows = [{"item_id": p.stem, "kind": "image", "path": str(p.resolve()), "split": "test"} for p in photos]
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    pq.write_table(CAPTIONS.empty_table(), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def bare_tower(tower: VisionTower, photos: Sequence[Path], batch_size: int) -> tuple[float, float]:
    """The forward passes alone; the tensors are in memory before the clock starts."""
    prepared = [tower.prepare(open_image(photo)) for photo in photos]
    starts = range(0, len(prepared), batch_size)
    return timed(lambda: [tower.embed(prepared[start : start + batch_size]) for start in starts])


def plain_loop(tower: VisionTower, photos: Sequence[Path], batch_size: int) -> tuple[float, float]:
    """Open, prepare, compute, next batch: nothing overlaps."""
    starts = range(0, len(photos), batch_size)
    return timed(
        lambda: [
            tower.encode([open_image(photo) for photo in photos[start : start + batch_size]], batch_size)
            for start in starts
        ]
    )


def verb(encoder: Path, photos: Sequence[Path], batch_size: int, workers: int) -> tuple[float, float]:
    """All that `dragoman features` does, the tower's loading and the writing of the folder included."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = corpus_of(photos, Path(folder))
        return timed(
            lambda: extract_features(
                corpus,
                encoder=encoder,
                options=ExtractOptions(batch_size=batch_size, decoding=Decoding(workers=workers)),
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    photos = sorted(options.photos.glob("*.jpg"))[: options.limit]
    tower = VisionTower.load(options.encoder)
    tower.encode([open_image(photo) for photo in photos[:16]], options.batch_size)  # warm up
    totals: dict[str, list[tuple[float, float]]] = {"bare tower": [], "plain loop": [], "verb": []}
    for start in range(options.rounds):
        share = photos[start :: options.rounds]
        totals["bare tower"].append(bare_tower(tower, share, options.batch_size))
        totals["plain loop"].append(plain_loop(tower, share, options.batch_size))
        totals["verb"].append(verb(options.encoder, share, options.batch_size, options.workers))
    report(totals, len(photos), options)


def report(totals: dict[str, list[tuple[float, float]]], count: int, options: argparse.Namespace) -> None:
    print(f"{count} photos, {options.rounds} rounds, batch {options.batch_size}, {options.workers} workers")
    print(
        f"{torch.get_num_threads()} torch threads, {os.cpu_count()} cores, {platform.machine()}", versions()
    )
    print("load average after the run:", *os.getloadavg())
    print(
        "\n| | images/s | CPU ms an image | wall time of the bare tower / its own, median (range) of rounds |"
    )
    print("|---|---|---|---|")
    bare = [wall for wall, _ in totals["bare tower"]]
    for name, rounds in totals.items():
        wall, cpu = (sum(values) for values in zip(*rounds, strict=True))
        ratios = [b / w for b, (w, _) in zip(bare, rounds, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {count / wall:.1f} | {1000 * cpu / count:.1f} | {spread} |")


if __name__ == "__main__":
    main()
