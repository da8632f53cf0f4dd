"""What narrower vectors cost and save in the store `exact`: recall, place and time, beside float32.

    python benchmarks/search/precision.py [--sizes 100000,1000000] [--width 512]
    python benchmarks/search/precision.py --run RUN --corpus CORPUS

The same vectors (of `vectors.py`; with --run the photos of a corpus as a run encodes them, asked by English
captions of test) are stored with each precision, and asked in turn in one process. Recall@10 is the share of
the 10 best of float32 that are found; a median is over the turns, and a ratio that of two medians. Writes
precision.json and precision.md beside this file, with what stands there of other sizes and runs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from vectors import CHUNK, World

from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import table
from dragoman.records import Entry
from dragoman.stores import Store
from dragoman.stores.embedded.rows import PRECISIONS
from dragoman.stores.exact import Config, open_store

HERE = Path(__file__).parent
K, ASKED, BATCHES, TURNS = 10, 500, (1, 64), 9
FEATURES = "mobilenet_v2"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="100000,1000000")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    if (options.run is None) != (options.corpus is None):
        parser.error("--run and --corpus go together")
    file = HERE / "precision.json"
    found = json.loads(file.read_text(encoding="utf-8"))["results"] if file.is_file() else {}
    command = "python benchmarks/search/precision.py"
    if options.run is not None:
        vectors, queries = encoded(options.run, options.corpus)
        found["photos"] = measure([vectors], queries) | experiment.circumstances(
            f"{command} --run RUN --corpus CORPUS"
        )
    else:
        world = World(options.width)
        for size in map(int, options.sizes.split(",")):
            found[str(size)] = measure(world.chunks(size), world.queries(ASKED)) | experiment.circumstances(
                f"{command} --sizes {size} --width {options.width}"
            )
    experiment.write_results(HERE, {"results": found}, page(found), "precision")


def encoded(run: Path, corpus: Path) -> tuple[np.ndarray, np.ndarray]:
    """Photos of a corpus, and English captions of test, as a run encodes them."""
    from dragoman import Retriever
    from dragoman.corpus import Corpus

    retriever, opened = Retriever.load(run), Corpus.open(corpus)
    retriever.look_up(opened)
    features, items = opened.features(FEATURES), opened.items["item_id"].to_pylist()
    texts = opened.select(role="human", lang="en", split="test").table["text"].to_pylist()
    return (
        retriever.encode_features(np.asarray(features.whole(features.rows(items)))),
        retriever.encode_text(texts),
    )


def measure(chunks: Iterator[np.ndarray] | list[np.ndarray], queries: np.ndarray) -> dict[str, Any]:
    """Everything of one collection, in this process."""
    with tempfile.TemporaryDirectory() as name:
        stores: dict[str, Store] = {}
        width = queries.shape[1]
        for precision in PRECISIONS:
            stores[precision] = open_store(
                Path(name) / precision, Config(precision=precision), width, "benchmark"
            )
        count = 0
        for rows in chunks:
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                entries = [Entry(item_id=f"item-{count + row:08}") for row in range(len(part))]
                for store in stores.values():
                    store.add(entries, part)
                count += len(part)
        answers = {precision: ids(store, queries) for precision, store in stores.items()}
        right = answers["float32"]
        found = {
            precision: {
                "bytes": store.size(),
                "recall": float(
                    np.mean(
                        [
                            len(set(a) & set(b)) / len(a)
                            for a, b in zip(right, answers[precision], strict=True)
                        ]
                    )
                ),
                "first": float(
                    np.mean([a[0] == b[0] for a, b in zip(right, answers[precision], strict=True)])
                ),
            }
            for precision, store in stores.items()
        }
        for batch in BATCHES:
            for precision, seconds in timed(stores, queries, batch).items():
                found[precision][f"ms {batch}"] = 1000 * seconds
        for store in stores.values():
            store.close()
    return {
        "entries": count,
        "width": width,
        "queries": len(queries),
        "by": found,
        "load": os.getloadavg()[0],
    }


def ids(store: Store, queries: np.ndarray) -> list[list[str]]:
    """The ten best of each query."""
    return [[match.item_id for match in one] for one in store.search(queries, K)]


def timed(stores: Mapping[str, Store], queries: np.ndarray, batch: int) -> dict[str, float]:
    """Median seconds of a search, in turns of random order."""
    draw, times = np.random.default_rng(0), {name: [] for name in stores}
    for turn in range(TURNS):
        asked = queries[turn * batch % (len(queries) - batch) :][:batch]
        for name in draw.permutation(list(stores)):
            start = time.perf_counter()
            stores[name].search(asked, K)
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(one)) for name, one in times.items()}


def page(found: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    yield "# Narrower vectors in the store `exact`\n"
    yield (
        "The same vectors stored with each precision and asked in turn in one process, on one thread where "
        "OMP_NUM_THREADS=1 says so. Recall@10: the share of the 10 best of float32 that are found. Times: "
        "median of a search, and its ratio to that of float32.\n"
    )
    rows = []
    for name, one in found.items():
        wide = one["by"]["float32"]
        for precision, line in one["by"].items():
            times = (
                f"{line[f'ms {batch}']:.1f} ({line[f'ms {batch}'] / wide[f'ms {batch}']:.2f})"
                for batch in BATCHES
            )
            what = "photos, asked by captions" if name == "photos" else "made"
            rows.append(
                (
                    f"{one['entries']:,} × {one['width']}, {what}",
                    precision,
                    f"{line['bytes'] / 1e6:,.0f}",
                    f"{line['recall']:.1%}",
                    f"{line['first']:.1%}",
                    *times,
                )
            )
    head = ("vectors", "precision", "MB on disk", "recall@10", "same first hit")
    yield from table((*head, *(f"ms, {batch} at once" for batch in BATCHES)), rows)
    yield "\nMade by:\n"
    for one in found.values():
        yield (
            f"- `{one['command']}`, commit {one['commit']}, {one['computer']}, load average "
            f"{one['load']:.1f} at the end, {one['queries']:,} queries."
        )


if __name__ == "__main__":
    main()
