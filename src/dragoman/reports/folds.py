"""The mean over the folds of a split, each of them a gallery of its own: the protocol of "COCO 1K".

R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dragoman.corpus.store import Corpus
from dragoman.errors import UserError
from dragoman.folders import write_json, write_manifest
from dragoman.reports import model as models
from dragoman.reports.evaluation import evaluate
from dragoman.reports.lines import table_lines
from dragoman.reports.measure import DEFINITIONS, Measured, measure, measure_row
from dragoman.reports.placing import replaced_folder
from dragoman.reports.rows import DIRECTIONS
from dragoman.reports.table import QUERIES, part

COLUMN = "fold"
"""Metadata of items."""
FORMAT = "dragoman-folds"
FORMAT_VERSION = 1
MAKE = "dragoman evaluate run/ corpus/ --folds --out report/"


def evaluate_folds(
    run: str | Path | models.Model, corpus: str | Path, *, out: str | Path, **settings: Any
) -> dict[str, Any]:
    """Evaluate each fold of a split by itself, into `out/fold-<name>`, and write the means as `report.json`.

    settings: as for `evaluate`. The folds are told by the metadata column `fold` of the items. A metric is
    the mean of its values on the folds, each ranked among the images and captions of the fold alone.

    Returns what stands in `report.json`. An existing one is replaced only on success. Raises UserError where
    the items have no folds, and where anything does not fit.
    """
    whole = Corpus.open(corpus)
    split = str(settings.get("split", "test"))
    sizes = _sizes(whole, split)
    with replaced_folder(Path(out), format=FORMAT, format_version=FORMAT_VERSION, make=MAKE) as folder:
        reports: list[dict[str, Any]] = []
        for fold in sizes:
            alone = _Fold(whole, split, fold)
            reports.append(evaluate(run, alone, out=folder / f"fold-{fold}", **settings))
        tables = [pq.read_table(folder / f"fold-{fold}" / QUERIES) for fold in sizes]
        seed = reports[0]["settings"]["seed"]
        results, intervals = _means(tables, _shared_rows([one["results"] for one in reports]), seed)
        report = {
            "results": results,
            "intervals": intervals,
            "folds": {str(fold): size for fold, size in sizes.items()},
            "consistency": {},
            "definitions": DEFINITIONS | {"fold": "every metric is the mean of its values on the folds"},
            **{name: reports[0][name] for name in ("settings", "system", "provenance")},
        }
        write_json(folder / "report.json", report)
        inputs = report["provenance"]["run"] | report["provenance"]["corpus"]
        write_manifest(folder, format=FORMAT, format_version=FORMAT_VERSION, inputs=inputs, seed=seed)
    return report


def fold_lines(report: dict[str, Any]) -> Iterator[str]:
    """The means as lines of text for the terminal."""
    yield from table_lines(report)
    sizes = report["folds"].values()
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    yield f"mean over {len(sizes)} folds of {each} images, each a gallery of its own"


class _Fold(Corpus):
    """A corpus whose split holds the items of one fold."""

    def __init__(self, whole: Corpus, split: str, fold: object) -> None:
        super().__init__(whole.folder, whole.manifest)
        self._whole, self._split, self._fold = whole, split, fold

    @cached_property
    def items(self) -> pa.Table:
        return self._whole.items.filter((pc.field("split") != self._split) | (pc.field(COLUMN) == self._fold))

    @cached_property
    def captions(self) -> pa.Table:
        return self._whole.captions


def _sizes(corpus: Corpus, split: str) -> dict[Any, int]:
    """Folds, ascending, and how many items each has."""
    items = corpus.items.filter(pc.field("split") == split)
    folds = items[COLUMN] if COLUMN in items.column_names else pa.chunked_array([pa.nulls(len(items))])
    if not len(items) or folds.null_count:
        raise UserError(
            f"{folds.null_count} of {len(items)} items of split {split!r} of {corpus.folder} are in no fold: "
            f"the metadata column {COLUMN!r} tells. coco-en and coco-ja-stair have it (--test 5k)."
        )
    counted = pc.value_counts(folds.combine_chunks()).to_pylist()
    return dict(sorted((one["values"], one["counts"]) for one in counted))


def _shared_rows(results: Sequence[dict[str, dict[str, Any]]]) -> dict[str, list[str]]:
    """Languages and the rows that they have in every fold."""
    return {
        language: [row for row in rows if all(row in other[language] for other in results)]
        for language, rows in results[0].items()
    }


def _means(
    tables: Sequence[pa.Table], rows_of: dict[str, list[str]], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and intervals, shaped as those of a single report."""
    results: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for language, rows in rows_of.items():
        for row in rows:
            ways = [_mean(tables, language, row, way, seed) for way in DIRECTIONS]
            figures, ends = measure_row(*ways)
            results.setdefault(language, {})[row] = figures
            intervals.setdefault(language, {})[row] = ends
    return results, intervals


def _mean(tables: Sequence[pa.Table], language: str, row: str, way: str, seed: int) -> Measured:
    # Folds hold different images, so they are resampled apart, each by a seed of its own.
    folds = [measure(part(table, language, row, way), seed + place) for place, table in enumerate(tables)]
    return Measured(
        {name: float(np.mean([one.metrics[name] for one in folds])) for name in folds[0].metrics},
        {name: np.mean([one.samples[name] for one in folds], axis=0) for name in folds[0].samples},
    )
