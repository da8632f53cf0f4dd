"""From a text to its hits: PyTorch, ONNX and int8, in turn in one process.

    python benchmarks/search/latency.py INDEX RUN CORPUS [--vision TOWER] [--sizes 100000] [--out FILE]

INDEX is searched as it is, and grown by made-up entries to the other sizes. Texts are captions of CORPUS by
people, in all its languages, each asked once of every model. A search gives ten hits with their captions.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from encoding import texts_of
from vectors import World

from dragoman.export import export, onnx
from dragoman.pipelines.computer import commit_and_computer
from dragoman.records import Entry
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher

WARM = 20
BATCH = 5000
Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("run")
    parser.add_argument("corpus")
    parser.add_argument("--vision", help="Where the run does not know its tower.")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--sizes", default="100000")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = texts_of(options.corpus)[: WARM + options.queries]
    lines = head(options.queries)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = {"PyTorch": options.run}
        for name, int8 in (("ONNX", False), ("int8", True)):
            config = onnx.Config(int8=int8, vision=options.vision, corpus=options.corpus)
            export(options.run, to=config, out=folder / name)
            models[name] = folder / name
        index = shutil.copytree(options.index, folder / "index")
        lines += rows(index, models, texts)
        for size in map(int, options.sizes.split(",")):
            grow(index, options.run, size)
            lines += rows(index, models, texts)
    lines += ["", f"Made {commit_and_computer()}."]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def rows(index: Path, models: Mapping[str, str | Path], texts: list[str]) -> Iterable[str]:
    """One line of the table for each model."""
    with ExitStack() as open_ones:
        searchers = {
            name: open_ones.enter_context(Searcher.open(index, model=model)) for name, model in models.items()
        }
        times: dict[str, Times] = {name: {"encode": [], "search": [], "whole": []} for name in searchers}
        order = random.Random(0)
        for text in texts:
            for name in order.sample(list(searchers), len(searchers)):
                seconds = searchers[name].search(Query(text=text, k=10)).seconds
                for part, value in (seconds | {"whole": sum(seconds.values())}).items():
                    times[name][part].append(1000 * value)
        count = searchers["PyTorch"].store.count()
    for name, found in times.items():
        cells = [f"{np.median(found[part][WARM:]):.1f}" for part in ("encode", "search", "whole")]
        late = np.percentile(found["whole"][WARM:], 95)
        base = np.median(times["PyTorch"]["whole"][WARM:])
        ratio = base / np.median(found["whole"][WARM:])
        yield f"| {count:,} | {name} | {' | '.join(cells)} | {late:.1f} | {ratio:.1f} |"


def grow(index: Path, model: str, size: int) -> None:
    """Fill up with entries that nobody made, of vectors in clusters."""
    with Searcher.open(index, model=model) as searcher:
        backend = searcher.store
        world = World(searcher.info.width)
        missing = size - backend.count()
        for start in range(0, missing, BATCH):
            vectors = world.draw(min(BATCH, missing - start), seed=start)
            entries = [
                Entry(
                    item_id=f"made-up-{start + row}",
                    kind="image",
                    path=None,
                    metadata={"year": 1990 + row % 30},
                    captions={"en": "made up"},
                    source="benchmark",
                )
                for row in range(len(vectors))
            ]
            backend.add(entries, vectors)


def head(queries: int) -> list[str]:
    return [
        "# From a text to its hits",
        "",
        f"Milliseconds by the clock of {queries} single queries on the backend `exact`, median and 95th",
        "percentile: the text is parsed, its language recognised, encoded, compared with every vector, and",
        "ten hits are read with their captions. The three models take turns in one process, threads: "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}.",
        "",
        "    python benchmarks/search/latency.py INDEX RUN CORPUS --vision TOWER",
        "",
        "| entries | model | encode | search | whole | whole, p95 | times less than PyTorch |",
        "|---|---|---|---|---|---|---|",
    ]


if __name__ == "__main__":
    main()
