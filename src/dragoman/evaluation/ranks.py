"""Complete ranks of the positives of every query, with mid-rank ties.

Q queries, G gallery entries, P positives of all queries together, B queries of one block, K listed hits.

The i-th best positive of a query (i = 1, 2, ...) has the rank i + (negatives scored higher) + half of the
negatives scored equal. Ties among negatives never matter, nor does the order of the input. A positive that
was not scored (-inf), such as what a re-ranker left out, has no rank, and is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError
from dragoman.evaluation.scores import DotScores, Scores

BLOCK_ENTRIES = 4_000_000
"""Scores held at a time: 32 MB as float64 and 16 MB as float32."""


@dataclass(frozen=True, eq=False)
class Positives:
    """The relevant gallery positions of each query; query q has `index[start[q]:start[q + 1]]`."""

    start: NDArray[np.int64]
    """[Q + 1], from 0 to P."""
    index: NDArray[np.int64]
    """[P], positions in the gallery."""

    def __len__(self) -> int:
        return len(self.start) - 1

    def of(self, query: int) -> NDArray[np.int64]:
        """Give the gallery positions that are relevant to `query`."""
        return self.index[self.start[query] : self.start[query + 1]]

    @classmethod
    def from_matrix(cls, relevant_QG: ArrayLike) -> Positives:
        """Read a boolean matrix [Q, G]."""
        relevant = np.asarray(relevant_QG).astype(bool)
        query_P, index_P = np.nonzero(relevant)
        return cls._counted(query_P, index_P, len(relevant))

    @classmethod
    def from_items(cls, query_items: Sequence[str], gallery_items: Sequence[str]) -> Positives:
        """Match equal items: an image is relevant to its captions, and all captions to their image."""
        places: dict[str, list[int]] = {}
        for place, item in enumerate(gallery_items):
            places.setdefault(item, []).append(place)
        found = [places.get(item, []) for item in query_items]
        query_P = np.repeat(np.arange(len(found)), [len(some) for some in found])
        return cls._counted(query_P, np.array([place for some in found for place in some]), len(found))

    @classmethod
    def _counted(cls, query_P: NDArray[np.int64], index_P: NDArray[np.int64], queries: int) -> Positives:
        counts_Q = np.bincount(query_P, minlength=queries)
        if not counts_Q.all():
            without = np.flatnonzero(counts_Q == 0)
            raise UserError(
                f"{len(without)} of {queries} queries have no positive in the gallery, first query "
                f"{without[0]} (counted from 0). Leave them out, or add what they look for."
            )
        return cls(np.concatenate([[0], np.cumsum(counts_Q)]), index_P.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of all positives, best first within each query, and optionally the best K hits."""

    start: NDArray[np.int64]
    """[Q + 1], from 0 to P."""
    rho: NDArray[np.float64]
    """[P], from 1 to G, in halves."""
    gallery: int
    """G."""
    top_index: NDArray[np.int64]
    """[Q, K] gallery positions, best first; equal scores by ascending position."""
    top_score: NDArray[np.float32]
    """[Q, K]."""

    def __post_init__(self) -> None:
        if not ((self.rho >= 1) & (self.rho <= self.gallery)).all():
            raise UserError(
                f"Some ranks are not between 1 and {self.gallery}, the size of the gallery. Ranks must be "
                "complete: behind a re-ranked block, keep the order of the first stage."
            )

    @property
    def best(self) -> NDArray[np.float64]:
        """[Q], the rank of each query: that of its best positive."""
        return self.rho[self.start[:-1]]


def rank_queries(
    queries_QD: NDArray[np.floating],
    gallery_GD: NDArray[np.floating],
    positives: Positives,
    *,
    block: int | None = None,
    depth: int = 0,
) -> Ranks:
    """Rank embeddings [Q, D] against [G, D] by dot product, holding `block` rows of scores at a time.

    `depth` best hits of each query are kept. Raises UserError for NaN, or where shapes do not fit.
    """
    return rank_scores(DotScores(queries_QD, gallery_GD), positives, block=block, depth=depth)


def rank_scores(scores: Scores, positives: Positives, *, block: int | None = None, depth: int = 0) -> Ranks:
    """Rank by any source of score rows; arguments and errors are those of `rank_queries`."""
    queries, gallery = scores.shape
    require_fit(positives, queries, gallery)
    depth = min(depth, gallery)
    rho_P = np.empty(len(positives.index))
    top_index = np.empty((queries, depth), np.int64)
    top_score = np.empty((queries, depth), np.float32)
    for start, stop in blocks(queries, gallery, block):
        scores_BG = scores.rows(start, stop)
        rank_block(scores_BG, start, positives, rho_P)
        if depth:
            for query, row_G in enumerate(scores_BG, start):
                top_index[query] = top(row_G, depth)
                top_score[query] = row_G[top_index[query]]
    return Ranks(positives.start, rho_P, gallery, top_index, top_score)


def blocks(queries: int, gallery: int, block: int | None = None) -> Iterator[tuple[int, int]]:
    """Give ranges of queries whose scores are held together, by default about 50 MB at a time."""
    size = block or max(1, BLOCK_ENTRIES // gallery)
    for start in range(0, queries, size):
        yield start, min(start + size, queries)


def rank_block(
    scores_BG: NDArray[np.float32], start: int, positives: Positives, rho_P: NDArray[np.float64]
) -> None:
    """Write the ranks of the queries from `start` on, whose scores are given, into their part of `rho_P`."""
    _require_numbers(scores_BG, start)
    for query, row_G in enumerate(scores_BG, start):
        rho_P[positives.start[query] : positives.start[query + 1]] = rank_of_positives(
            row_G, positives.of(query)
        )


def rank_of_positives(row_G: NDArray[np.float32], positives: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rank the positives of one query by its scores [G], best first; infinite where a score is -inf."""
    own = np.sort(row_G[positives])[::-1]
    rho = np.arange(1.0, len(own) + 1)
    for i, score in enumerate(own):
        greater = np.count_nonzero(row_G > score) - np.count_nonzero(own > score)
        equal = np.count_nonzero(row_G == score) - np.count_nonzero(own == score)
        rho[i] += greater + equal / 2
    # Not scored at all; `Ranks` refuses it, as half of what else is not scored would be no rank.
    rho[own == -np.inf] = np.inf
    return rho


def top(row_G: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Find the places of the `depth` best scores, best first; equal scores by ascending place."""
    # argpartition alone would pick any of those that tie at the border.
    border = np.partition(row_G, len(row_G) - depth)[len(row_G) - depth]
    candidates = np.flatnonzero(row_G >= border)
    return candidates[np.argsort(-row_G[candidates], kind="stable")[:depth]]


def require_fit(positives: Positives, queries: int, gallery: int) -> None:
    """Raise UserError where positives are not those of so many queries in such a gallery."""
    if len(positives) != queries:
        raise UserError(f"Positives of {len(positives)} queries given for {queries} queries.")
    if positives.index.min() < 0 or positives.index.max() >= gallery:
        raise UserError(
            f"Positives lie at positions {positives.index.min()} to {positives.index.max()}, but the gallery "
            f"has {gallery} entries (0 to {gallery - 1})."
        )
    query_P = np.repeat(np.arange(queries), np.diff(positives.start))
    if len(np.unique(query_P * gallery + positives.index)) < len(positives.index):
        raise UserError("A query names the same positive twice; each may stand once.")


def _require_numbers(scores_BG: NDArray[np.float32], start: int) -> None:
    if np.isnan(scores_BG).any():
        query = start + int(np.flatnonzero(np.isnan(scores_BG).any(axis=1))[0])
        raise UserError(f"The scores of query {query} (counted from 0) hold NaN, which has no rank.")
