"""Retrieval metrics from complete ranks.

Q queries, G gallery entries, P positives of all queries together.

| key | definition |
|---|---|
| recall@K | 100 x share of queries whose best positive ranks K or better (hit, not fraction) |
| medr, meanr | median and mean rank of the best positive |
| map | 100 x mean over queries of the mean over their positives of i / rank of the i-th positive |
| ndcg@10 | 100 x mean of sum over ranks <= 10 of 1 / log2(rank + 1), over its value for perfect ranking |
| sum_r, mean_recall | recall@1 + @5 + @10 of both directions (at most 600); that / 6 |

Equal scores get the middle rank, which is no expectation: recall@1 is never above that of ties broken at
random, and below it where the best positive ties with a negative; at larger K the rule errs both ways.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError
from dragoman.evaluation.ranks import Positives, Ranks, rank_scores
from dragoman.evaluation.scores import MatrixScores

_SHORT = {"recall": "R", "ndcg": "nDCG", "medr": "MedR", "meanr": "MeanR", "map": "mAP"}
_WITH_CUTOFF = ("recall", "ndcg")


class Metric(str):
    """A metric by its key, such as `recall@5`: a string that knows its parts and how it is computed.

    Raises UserError for a key that names no metric.
    """

    # A string, so that metrics are keys of results and stand in JSON as they are.
    __slots__ = ()

    def __new__(cls, key: str) -> Metric:
        name, at, cutoff = key.partition("@")
        whole = cutoff.isdecimal() and int(cutoff) > 0 if name in _WITH_CUTOFF else not at
        if name not in _SHORT or not whole:
            known = ", ".join(f"{one}@K" if one in _WITH_CUTOFF else one for one in _SHORT)
            raise UserError(f"No metric {key!r}. Known, K being a whole number from 1: {known}")
        return super().__new__(cls, key)

    @property
    def name(self) -> str:
        """The key without its cutoff."""
        return self.partition("@")[0]

    @property
    def cutoff(self) -> int:
        """K of `recall@K` and `ndcg@K`; 0 of others."""
        return int(self.partition("@")[2] or 0)

    @property
    def short(self) -> str:
        """Its name in tables, such as "R@5"."""
        return _SHORT[self.name] + self[len(self.name) :]

    def values(self, ranks: Ranks) -> NDArray[np.float64]:
        """Give what each query adds, [Q], in percent but for `medr` and `meanr`."""
        if self.name in ("medr", "meanr"):
            return ranks.best
        if self.name == "map":
            share_Q = _average_precision(ranks)
        elif self.name == "ndcg":
            share_Q = _ndcg(ranks, cutoff=self.cutoff)
        else:
            share_Q = (ranks.best <= self.cutoff).astype(np.float64)
        percent_Q: NDArray[np.float64] = 100.0 * share_Q
        return percent_Q

    def of(self, ranks: Ranks) -> float:
        """Measure the metric over all queries: the mean of `values`, the median for `medr`."""
        values_Q = self.values(ranks)
        return float(np.median(values_Q) if self.name == "medr" else values_Q.mean())


RECALLS = (Metric("recall@1"), Metric("recall@5"), Metric("recall@10"))
METRICS = (*RECALLS, Metric("medr"), Metric("meanr"), Metric("map"), Metric("ndcg@10"))
MEANS = (*RECALLS, *METRICS[4:])
"""Metrics that are means over queries."""


def retrieval_metrics(scores: ArrayLike, relevant: ArrayLike) -> dict[str, float]:
    """Measure all metrics of a score matrix.

    scores: [queries, gallery], higher is better, compared as float32; ties get the middle rank.
    relevant: boolean, the same shape; every query needs at least one positive.
    Returns recall@1, recall@5, recall@10, map and ndcg@10 in percent, medr and meanr as ranks from 1.
    Raises UserError for NaN, unequal shapes, or a query without a positive.
    """
    found = MatrixScores(scores)
    if np.shape(relevant) != found.shape:
        raise UserError(f"scores have shape {found.shape} but relevant {np.shape(relevant)}; equal expected.")
    return summarise(rank_scores(found, Positives.from_matrix(relevant)))


def summarise(ranks: Ranks) -> dict[str, float]:
    """Measure all metrics of ranked queries, under the keys `METRICS`."""
    return {metric: metric.of(ranks) for metric in METRICS}


def sum_r(text_to_image: Mapping[str, float], image_to_text: Mapping[str, float]) -> float:
    """Add recall@1, recall@5 and recall@10 of both directions, 0 to 600."""
    return float(sum(way[name] for way in (text_to_image, image_to_text) for name in RECALLS))


def mean_recall(text_to_image: Mapping[str, float], image_to_text: Mapping[str, float]) -> float:
    """Take a sixth of `sum_r`, in percent."""
    return sum_r(text_to_image, image_to_text) / (2 * len(RECALLS))


def _average_precision(ranks: Ranks) -> NDArray[np.float64]:
    counts_Q = np.diff(ranks.start)
    precision_P = _ordinal(ranks) / ranks.rho
    result: NDArray[np.float64] = np.add.reduceat(precision_P, ranks.start[:-1]) / counts_Q
    return result


def _ndcg(ranks: Ranks, *, cutoff: int) -> NDArray[np.float64]:
    gain_P = np.where(ranks.rho <= cutoff, 1 / np.log2(ranks.rho + 1), 0.0)
    ideal = np.cumsum(1 / np.log2(np.arange(1, cutoff + 1) + 1))
    best_Q = ideal[np.minimum(np.diff(ranks.start), cutoff) - 1]
    result: NDArray[np.float64] = np.add.reduceat(gain_P, ranks.start[:-1]) / best_Q
    return result


def _ordinal(ranks: Ranks) -> NDArray[np.int64]:
    """Number the positives [P] of each query, 1 for its best, 2 for the next."""
    return np.arange(len(ranks.rho)) - np.repeat(ranks.start[:-1], np.diff(ranks.start)) + 1
