"""Retrieval metrics from complete ranks.

Q queries, G gallery entries, P positives of all queries together.

| key | definition |
|---|---|
| recall@K | 100 x share of queries whose best positive ranks K or better (hit, not fraction) |
| medr, meanr | median and mean rank of the best positive |
| map | 100 x mean over queries of the mean over their positives of i / rank of the i-th positive |
| ndcg@10 | 100 x mean of sum over ranks <= 10 of 1 / log2(rank + 1), over its value for perfect ranking |
| sum_r, mean_recall | recall@1 + @5 + @10 of both directions (at most 600); that / 6 |
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError
from dragoman.evaluation.ranks import Positives, Ranks, rank_scores
from dragoman.evaluation.scores import MatrixScores

CUTOFFS = (1, 5, 10)
RECALLS = tuple(f"recall@{cutoff}" for cutoff in CUTOFFS)
MEANS = (*RECALLS, "meanr", "map", "ndcg@10")
"""Metrics that are means over queries of what `query_values` gives."""
METRICS = (*RECALLS, "medr", "meanr", "map", "ndcg@10")


def retrieval_metrics(scores: ArrayLike, relevant: ArrayLike) -> dict[str, float]:
    """All metrics of a score matrix.

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
    """All metrics of ranked queries, under the keys `METRICS`."""
    values = query_values(ranks)
    means = {name: float(values[name].mean()) for name in MEANS} | {"medr": float(np.median(ranks.best))}
    return {name: means[name] for name in METRICS}


def query_values(ranks: Ranks) -> dict[str, NDArray[np.float64]]:
    """What each query adds to the metrics in `MEANS`: one array [Q] each, in percent but for `meanr`."""
    best_Q = ranks.best
    hits = {f"recall@{cutoff}": 100.0 * (best_Q <= cutoff) for cutoff in CUTOFFS}
    return hits | {
        "meanr": best_Q,
        "map": 100 * _average_precision(ranks),
        "ndcg@10": 100 * _ndcg(ranks, cutoff=10),
    }


def sum_r(text_to_image: Mapping[str, float], image_to_text: Mapping[str, float]) -> float:
    """recall@1 + recall@5 + recall@10 of both directions, 0 to 600."""
    return float(sum(way[name] for way in (text_to_image, image_to_text) for name in RECALLS))


def mean_recall(text_to_image: Mapping[str, float], image_to_text: Mapping[str, float]) -> float:
    """`sum_r` / 6, in percent."""
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
    """[P], 1 for the best positive of its query, 2 for the next."""
    return np.arange(len(ranks.rho)) - np.repeat(ranks.start[:-1], np.diff(ranks.start)) + 1
