"""From the lines of `queries.parquet` to metrics and their intervals.

Q queries, N images, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dragoman.evaluation.metrics import MEANS, METRICS, RECALLS, mean_recall, query_values, sum_r, summarise
from dragoman.evaluation.significance import bootstrap_means, bootstrap_medians, interval
from dragoman.reports.table import ranks_of

DEFINITIONS = {
    "recall@K": "100 x share of queries whose best positive ranks K or better (hit, not fraction)",
    "medr": "median rank of the best positive, the mean of the two middle values where Q is even",
    "meanr": "mean rank of the best positive",
    "map": "100 x mean over queries of the mean over positives of i / rank of the i-th positive",
    "ndcg@10": "100 x mean of 1 / log2(rank + 1) summed over positives in the first 10, over the ideal sum",
    "sum_r": "recall@1 + recall@5 + recall@10 of both directions, at most 600",
    "mean_recall": "sum_r / 6",
    "rank": "of the i-th best positive: i + (negatives scored higher) + half of those scored equal",
    "text_to_image": "every caption is a query, its image the positive; gallery: all images of the split",
    "image_to_text": "every captioned image is a query, its captions the positives; gallery: the captions",
    "interval": "95 % percentile bootstrap over images, all captions of an image together",
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
    """All metrics of one part of the table. Equal images and seed give equal resamples for every system."""
    ranks = ranks_of(part)
    values = query_values(ranks)
    images, image_Q = np.unique(part["item_id"].to_numpy(), return_inverse=True)
    values_QM = np.column_stack([values[name] for name in MEANS])
    means_RM = bootstrap_means(values_QM, image_Q, len(images), seed=seed)
    samples = dict(zip(MEANS, means_RM.T, strict=True))
    samples["medr"] = bootstrap_medians(ranks.best, image_Q, len(images), seed=seed)
    return Measured(summarise(ranks), {name: samples[name] for name in METRICS})


def measure_row(there: Measured, back: Measured) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results and intervals of one row: both directions, and what is summed over them."""
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
