"""Lines of queries, one each, and the metrics and intervals that are computed from them.

Q queries, K listed hits, N images, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa, pc
from dragoman.evaluation.metrics import MEANS, METRICS, RECALLS, mean_recall, sum_r, summarise
from dragoman.evaluation.ranks import Ranks
from dragoman.evaluation.significance import bootstrap_means, bootstrap_medians, interval
from dragoman.reports.rows import DIRECTIONS

LISTED = 10

SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),
        pa.field("seed", pa.int64()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("direction", pa.string(), nullable=False),
        pa.field("qid", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("slot", pa.int64()),
        pa.field("rank", pa.float64(), nullable=False),
        pa.field("positive_ranks", pa.list_(pa.float64()), nullable=False),
        pa.field("gallery", pa.int64(), nullable=False),
        pa.field("top_ids", pa.list_(pa.string()), nullable=False),
        pa.field("top_scores", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`qid` is the caption's id, or the item's where images are the queries; `slot` is null for images."""


def query_table(
    ranks: Ranks,
    *,
    qids: Sequence[str],
    items: Sequence[str],
    slots: Sequence[int] | None,
    gallery_ids: Sequence[str],
    **same: Any,
) -> pa.Table:
    """Make the lines of one row in one direction; `same` holds the columns that are equal in all of them."""
    queries = len(qids)
    top_QK = ranks.top_index[:, :LISTED]
    types = {name: SCHEMA.field(name).type for name in same}
    columns: dict[str, Any] = {
        name: pa.repeat(pa.scalar(value, types[name]), queries) for name, value in same.items()
    }
    columns |= {
        "qid": pa.array(qids, pa.string()),
        "item_id": pa.array(items, pa.string()),
        "slot": pa.nulls(queries, pa.int64()) if slots is None else pa.array(slots, pa.int64()),
        "rank": pa.array(ranks.best),
        "positive_ranks": _lists(ranks.start, pa.array(ranks.rho)),
        "gallery": pa.repeat(pa.scalar(ranks.gallery, pa.int64()), queries),
        "top_ids": _rectangle(top_QK, pa.array(gallery_ids, pa.string()).take(pa.array(top_QK.ravel()))),
        "top_scores": _rectangle(top_QK, pa.array(ranks.top_score[:, :LISTED].ravel())),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def part(table: pa.Table, language: str, row: str, direction: str) -> pa.Table:
    """Choose the lines of one row in one language and direction, in the order of their query ids."""
    wanted = (
        (pc.field("language") == language) & (pc.field("row") == row) & (pc.field("direction") == direction)
    )
    return table.filter(wanted).sort_by("qid")


def ranks_of(table: pa.Table) -> Ranks:
    """Restore the complete ranks that a part of the table holds."""
    lists = table["positive_ranks"].combine_chunks()
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    # Hits are for looking at; metrics need ranks alone.
    nothing = np.empty((len(table), 0))
    gallery = table["gallery"][0].as_py()
    rho = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return Ranks(start, rho, gallery, nothing.astype(np.int64), nothing.astype(np.float32))


def _lists(start: NDArray[np.int64], values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), values)


def _rectangle(shape_of: NDArray[np.int64], values: pa.Array) -> pa.Array:
    queries, listed = shape_of.shape
    return _lists(np.arange(queries + 1) * listed, values)


DEFINITIONS = {
    "recall@K": "100 x share of queries whose best positive ranks K or better (hit, not fraction); of equal "
    "scores the middle rank counts, so recall@1 is at most what ties broken at random would give",
    "medr": "median rank of the best positive, the mean of the two middle values where Q is even",
    "meanr": "mean rank of the best positive",
    "map": "100 x mean over queries of the mean over positives of i / rank of the i-th positive",
    "ndcg@10": "100 x mean of 1 / log2(rank + 1) summed over positives in the first 10, over the ideal sum",
    "sum_r": "recall@1 + recall@5 + recall@10 of both directions, at most 600",
    "mean_recall": "sum_r / 6",
    "rank": "of the i-th best positive: i + (negatives scored higher) + half of those scored equal",
    "text_to_image": "every caption is a query, its image the positive; gallery: all images of the split",
    "image_to_text": "every captioned image is a query, its captions the positives; gallery: the captions",
    "interval": "95 % percentile bootstrap over images, all captions of an image together; of this one "
    "training: what other seeds would bring is not in it",
}


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics of one row in one direction, with bootstrap samples [R] of each."""

    metrics: dict[str, float]
    samples: dict[str, NDArray[np.float64]]

    @property
    def intervals(self) -> dict[str, list[float]]:
        """Low and high end of each metric."""
        return {name: list(interval(sample_R)) for name, sample_R in self.samples.items()}


def measure(part: pa.Table, seed: int) -> Measured:
    """Measure one part of the table. Equal images and seed give equal resamples for every system."""
    ranks = ranks_of(part)
    images, image_Q = np.unique(part["item_id"].to_numpy(), return_inverse=True)
    values_QM = np.column_stack([metric.values(ranks) for metric in MEANS])
    means_RM = bootstrap_means(values_QM, image_Q, len(images), seed=seed)
    samples: dict[str, NDArray[np.float64]] = dict(zip(MEANS, means_RM.T, strict=True))
    samples["medr"] = bootstrap_medians(ranks.best, image_Q, len(images), seed=seed)
    return Measured(summarise(ranks), {name: samples[name] for name in METRICS})


def _measure_row(there: Measured, back: Measured) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give results and intervals of one row: of both directions, and summed over them."""
    # Sample by sample, which is why both directions must be resampled alike.
    sum_R = sum((way.samples[name] for way in (there, back) for name in RECALLS), np.zeros(1))
    results = {"text_to_image": there.metrics, "image_to_text": back.metrics}
    intervals = {"text_to_image": there.intervals, "image_to_text": back.intervals}
    return (
        results
        | {
            "sum_r": sum_r(there.metrics, back.metrics),
            "mean_recall": mean_recall(there.metrics, back.metrics),
        },
        intervals | {"sum_r": list(interval(sum_R)), "mean_recall": list(interval(sum_R / 6))},
    )


def measure_table(table: pa.Table, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure all languages and rows of a `queries.parquet`: results, and intervals of the same shape."""
    # Not by threads, which would bring the cells in any order.
    found = table.select(["language", "row"]).group_by(["language", "row"], use_threads=False).aggregate([])
    cells = zip(found["language"].to_pylist(), found["row"].to_pylist(), strict=True)
    return measure_cells(cells, lambda *cell: measure(part(table, *cell), seed))


def measure_cells(
    cells: Iterable[tuple[str, str]], measured: Callable[[str, str, str], Measured]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give results and intervals of languages and rows; `measured` tells of a cell in one direction."""
    results: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for language, row in cells:
        figures, ends = _measure_row(*(measured(language, row, way) for way in DIRECTIONS))
        results.setdefault(language, {})[row] = figures
        intervals.setdefault(language, {})[row] = ends
    return results, intervals
