"""Approximate search of the `faiss` backend beside exact search: recall, time and memory.

    python benchmarks/search/approximate.py [--sizes 100000 1000000] [--width 512] [--out FILE]

The index is filled and built in one process and searched in another, whose memory is therefore that of a
service. Queries come from the world of the vectors but are none of them (`vectors.py`); the right answers
come from the exact backend over the same store.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from vectors import CHUNK, World

from dragoman.pipelines.computer import commit_and_computer
from dragoman.records import Entry
from dragoman.stores import Store
from dragoman.stores import exact as exact_store
from dragoman.stores import faiss as faiss_store

K = 10
QUERIES = 500
BATCHES = (1, 64)
REPEATS = 15
WANTED = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, help="Write the results there instead of to the terminal.")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options.folder, options.sizes[0], options.width)))
        return
    found = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            one = {"size": size}
            for step in STEPS:
                command = [sys.executable, __file__, "--step", step, "--folder", folder]
                command += ["--sizes", str(size), "--width", str(options.width)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                one |= json.loads(done.stdout.splitlines()[-1])
                print(json.dumps(one), file=sys.stderr)
        found.append(one)
    text = page(found, options.width)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def fill(folder: Path, size: int, width: int) -> dict:
    with exact_store.open_store(folder, exact_store.Config(), width, "benchmark") as index:
        for number, rows in enumerate(World(width).chunks(size)):
            first = number * CHUNK
            index.add([Entry(item_id=f"item-{first + i:08}") for i in range(len(rows))], rows)
    return {}


def build(folder: Path, size: int, width: int) -> dict:
    with faiss_store.open_store(folder, faiss_store.Config(), width, "benchmark") as index:
        start, used = time.perf_counter(), time.process_time()
        index.build()
        seconds, processor_seconds = time.perf_counter() - start, time.process_time() - used
        (file,) = folder.glob("*.faiss")
        return {
            "built": seconds,
            "built_processor": processor_seconds,
            "build_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "file": file.stat().st_size / 1e6,
            "said": dict(index.describe()),
        }


def search(folder: Path, size: int, width: int) -> dict:
    queries = World(width).queries(QUERIES)
    before = own_memory()
    with faiss_store.open_store(folder, faiss_store.Config(), width, "benchmark") as index:
        start = time.perf_counter()
        index.search(queries[:1], K)
        first = time.perf_counter() - start
        found = ids(index, queries)
        memory = own_memory() - before
        with exact_store.open_store(folder, exact_store.Config(), width, "benchmark") as plain:
            right = ids(plain, queries)
            times = {str(batch): compare(index, plain, queries[:batch]) for batch in BATCHES}
    recall = float(np.mean([len(a & b) / K for a, b in zip(found, right, strict=True)]))
    return {"recall": recall, "first": first, "memory": memory, "times": times, "load": os.getloadavg()[0]}


def ids(index: Store, queries: np.ndarray) -> list[set[str]]:
    return [{match.item_id for match in one} for one in index.search(queries, K)]


def compare(index: Store, plain: Store, queries: np.ndarray) -> list[float]:
    """Milliseconds of approximate and exact search, medians of turns."""
    times: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for one, kept in zip((index, plain), times, strict=True):
            start = time.perf_counter()
            one.search(queries, K)
            kept.append(time.perf_counter() - start)
    return [1000 * float(np.median(kept)) for kept in times]


def own_memory() -> float:
    """MB of this process that are not pages of files."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


STEPS = {"fill": fill, "build": build, "search": search}


def page(found: list[dict], width: int) -> str:
    lines = [
        "# Approximate search",
        "",
        *head(width),
        "",
        f"| entries | recall@10 | at least {WANTED} | stated by the index | lists | probed |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        said, verdict = one["said"], "yes" if one["recall"] >= WANTED else "no"
        cells = (
            f"{one['recall']:.3f} | {verdict} | {said['recall@10']:.3f} | {said['lists']} | {said['probes']}"
        )
        lines.append(f"| {one['size']:,} | {cells} |")
    lines += [
        "",
        "| entries | queries | approximate ms | exact ms | ratio |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        for batch, (rough, plain) in one["times"].items():
            lines.append(f"| {one['size']:,} | {batch} | {rough:.1f} | {plain:.1f} | {rough / plain:.2f} |")
    lines += [
        "",
        "| entries | seconds to build | processor seconds | peak MB while building | file MB "
        "| MB of a searching process | seconds of the first search | load at the end |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        cells = [f"{one[name]:.0f}" for name in ("built", "built_processor", "build_peak", "file", "memory")]
        cells += [f"{one['first']:.2f}", f"{one['load']:.1f}"]
        lines.append(f"| {one['size']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def head(width: int) -> list[str]:
    return [
        f"Vectors of width {width} in clusters (`vectors.py`), {K} hits, {QUERIES} queries that are not in",
        "the index and lie farther from the centres. Made by",
        "",
        "    python benchmarks/search/approximate.py --out benchmarks/search/approximate.md",
        "",
        f"{commit_and_computer()},",
        f"NumPy {np.__version__}, faiss {faiss.__version__}.",
        "",
        "Approximate and exact search in turn in one process, medians. The recall that the index states was",
        "measured when it was built, with its own vectors and noise. Memory: what opening the index and 500",
        "queries add, without pages of files; while building, with the mapped vectors.",
    ]


if __name__ == "__main__":
    main()
