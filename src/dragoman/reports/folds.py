"""The mean over the folds of a split, each of them a gallery of its own: the protocol of "COCO 1K".

R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.reports.measure import DEFINITIONS, Measured, measure, measure_cells, part

COLUMN = "fold"
"""Metadata of items."""


def open_folds(corpus: Corpus, split: str) -> dict[str, Corpus]:
    """Open a corpus for each fold, whose split holds its items alone, by the names of the folds, ascending.

    The metadata column `fold` of the items tells. Raises UserError where an item of the split has none.
    """
    folds, others = _folds(corpus, split), pc.not_equal(corpus.items["split"], split)
    return {
        str(fold): corpus.part(pc.or_kleene(others, pc.equal(corpus.items[COLUMN], fold))) for fold in folds
    }


def mean_of_folds(reports: Mapping[str, dict[str, Any]], tables: Sequence[pa.Table]) -> dict[str, Any]:
    """Make a report whose metrics are the means of those of the folds.

    reports: `report.json` of each fold. tables: its `queries.parquet`.
    """
    first = next(iter(reports.values()))
    cells, seed = _shared_cells([one["results"] for one in reports.values()]), first["settings"]["seed"]
    results, intervals = measure_cells(cells, lambda *cell: _mean(tables, cell, seed))
    return {
        "results": results,
        "intervals": intervals,
        "folds": {name: _images(one) for name, one in reports.items()},
        **_without_vectors(reports),
        "consistency": {},
        "definitions": DEFINITIONS | {"fold": "every metric is the mean of its values on the folds"},
        **{name: first[name] for name in ("settings", "system", "provenance")},
    }


def _images(report: dict[str, Any]) -> int:
    # Every language is ranked against all images of the split.
    return int(next(iter(report["languages"].values()))["gallery"]["text_to_image"])


def _without_vectors(reports: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """Join what the folds left out, where they left out anything."""
    found: dict[str, list[str]] = {}
    for one in reports.values():
        for split, items in one.get("without_vectors", {}).items():
            found.setdefault(split, []).extend(items)
    return {"without_vectors": found} if found else {}


def _folds(corpus: Corpus, split: str) -> list[Any]:
    items = corpus.split(split)
    folds = items[COLUMN] if COLUMN in items.column_names else pa.chunked_array([pa.nulls(len(items))])
    if not len(items) or folds.null_count:
        raise UserError(
            f"{folds.null_count} of {len(items)} items of split {split!r} of {corpus.folder} are in no fold: "
            f"the metadata column {COLUMN!r} tells. coco-en and coco-ja-stair have it (--test 5k)."
        )
    return sorted(folds.unique().to_pylist())


def _shared_cells(results: Sequence[dict[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """List languages and rows that every fold has."""
    return [
        (language, row)
        for language, rows in results[0].items()
        for row in rows
        if all(row in other[language] for other in results)
    ]


def _mean(tables: Sequence[pa.Table], cell: tuple[str, str, str], seed: int) -> Measured:
    # Folds hold different images, so they are resampled apart, each by a seed of its own.
    folds = [measure(part(table, *cell), seed + place) for place, table in enumerate(tables)]
    return Measured(
        {name: float(np.mean([one.metrics[name] for one in folds])) for name in folds[0].metrics},
        {name: np.mean([one.samples[name] for one in folds], axis=0) for name in folds[0].samples},
    )
