"""Exact search of the default index beside faiss.IndexFlatIP and NumPy.

    python benchmarks/search/exact.py [--sizes 10000 100000 1000000] [--width 512] [--out FILE]

default  the `exact` backend: ids of the hits, from a file that is mapped into memory
faiss    faiss.IndexFlatIP: positions, from memory
NumPy    the product with the whole matrix in memory, argpartition, sorting of the k best: positions

All in one process and in turn, with one query and with 64; the ratio is of the default's median to the least
of the two other medians, and must not exceed 1.3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from vectors import CHUNK, World

from dragoman.pipelines.computer import commit_and_computer
from dragoman.records import Entry
from dragoman.stores.exact import Config, open_store

K = 10
BATCHES = (1, 64)
REPEATS = {10_000: 41, 100_000: 21, 1_000_000: 11}
BOUND = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(REPEATS))
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, help="Write the results there instead of to the terminal.")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.width)))
        return
    found = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--width", str(options.width)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), file=sys.stderr)
    text = page(found, options.width)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def measure(size: int, width: int) -> dict:
    """Everything of one size, in this process."""
    world = World(width)
    matrix = np.empty((size, width), np.float32)
    flat = faiss.IndexFlatIP(width)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        with open_store(folder, Config(), width, "benchmark") as index:
            for number, rows in enumerate(world.chunks(size)):
                first = number * CHUNK
                matrix[first : first + len(rows)] = rows
                index.add([Entry(item_id=f"item-{first + i:08}") for i in range(len(rows))], rows)
        filled = time.perf_counter() - start
        flat.add(matrix)
        start = time.perf_counter()
        index = open_store(folder, Config(), width, "benchmark")
        count = index.count()
        opened = time.perf_counter() - start
        assert count == size
        found = {
            "size": size,
            "filled": filled,
            "opened": opened,
            "bytes": index.size(),
            "times": {},
        }
        for batch in BATCHES:
            found["times"][str(batch)] = compare(index, flat, matrix, world.queries(batch))
        index.close()
    found["load"] = os.getloadavg()[0]
    return found


def compare(index, flat, matrix: np.ndarray, queries: np.ndarray) -> dict[str, list[list[float]]]:
    """Seconds and processor seconds of each version, in turn."""

    def default() -> np.ndarray:
        answers = index.search(queries, K)
        return np.array([[int(match.item_id[5:]) for match in one] for one in answers])

    def with_numpy() -> np.ndarray:
        scores = (matrix @ queries[0])[None] if len(queries) == 1 else queries @ matrix.T
        best = np.argpartition(scores, -K, axis=1)[:, -K:]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        return np.take_along_axis(best, order, 1)

    versions: dict[str, Callable[[], np.ndarray]] = {
        "default": default,
        "faiss": lambda: flat.search(queries, K)[1],
        "numpy": with_numpy,
    }
    right = default()
    for version in versions.values():  # warm, and the same work
        assert (version() == right).mean() > 0.999
    times: dict[str, list[list[float]]] = {name: [] for name in versions}
    draw = np.random.default_rng(0)
    for _ in range(REPEATS.get(len(matrix), 11)):
        # In a fixed order, short turns may fall in step with the scheduler of a busy computer.
        for name in draw.permutation(list(versions)):
            start, used = time.perf_counter(), time.process_time()
            versions[name]()
            times[name].append([time.perf_counter() - start, time.process_time() - used])
    return times


def page(found: list[dict], width: int) -> str:
    lines = [
        "# Exact search",
        "",
        *head(width),
        "",
        "| entries | queries | default ms | faiss ms | NumPy ms | ratio | at most 1.3 | processor ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        for batch, times in one["times"].items():
            medians = {name: 1000 * np.median(times[name], axis=0) for name in times}
            default, flat, plain = (float(medians[name][0]) for name in ("default", "faiss", "numpy"))
            ratio = default / min(flat, plain)
            used = medians["default"][1] / min(medians["faiss"][1], medians["numpy"][1])
            verdict = "yes" if ratio <= BOUND else "no"
            cells = f"{default:.1f} | {flat:.1f} | {plain:.1f} | {ratio:.2f} | {verdict} | {used:.2f}"
            lines.append(f"| {one['size']:,} | {batch} | {cells} |")
    lines += [
        "",
        "| entries | seconds to open | MB on disk | entries a second when filled | load at the end |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        rate = one["size"] / one["filled"]
        cells = f"{one['opened']:.3f} | {one['bytes'] / 1e6:.0f} | {rate:,.0f} | {one['load']:.1f}"
        lines.append(f"| {one['size']:,} | {cells} |")
    return "\n".join(lines) + "\n"


def head(width: int) -> list[str]:
    return [
        f"Vectors of width {width}, {K} hits; see `vectors.py` for how they are made. Made by",
        "",
        "    python benchmarks/search/exact.py --out benchmarks/search/exact.md",
        "",
        f"{commit_and_computer()},",
        f"NumPy {np.__version__}, faiss {faiss.__version__}.",
        "",
        "All versions in random order in one process, medians. The default answers with ids from the file,",
        "which the system had in memory, as a transaction; the others with positions from memory. The ratio",
        "is to the faster of the two others. To open is until the count is known.",
    ]


if __name__ == "__main__":
    main()
