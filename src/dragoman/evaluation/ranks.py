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

BLOCK_ENTRIES = 5_000_000
"""Scores held at a time: 40 MB as float64 and 20 MB as float32."""
FEW = 16
"""Scores that reach a positive of their query are looked at alone where no more than one in so many does."""
CACHED_ENTRIES = 128_000
"""Scores that are compared at a time: their comparisons stay in the cache of a core."""
COPIED_COLUMNS = 128
WORD = 8
"""Comparisons that are added at a time."""


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
        relevant = np.asarray(relevant_QG).astype(bool, copy=False)
        if relevant.flags.c_contiguous or not relevant.flags.f_contiguous:
            query_P, index_P = np.divmod(np.flatnonzero(relevant), relevant.shape[1])
        else:
            # A transposed matrix is searched as it lies in memory, which is many times faster.
            index_P, query_P = np.divmod(np.flatnonzero(relevant.T), len(relevant))
            by_query = np.argsort(query_P, kind="stable")
            query_P, index_P = query_P[by_query], index_P[by_query]
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
    """Give ranges of queries whose scores are held together, by default about 60 MB at a time."""
    size = block or max(1, BLOCK_ENTRIES // gallery)
    for start in range(0, queries, size):
        yield start, min(start + size, queries)


def rank_block(
    scores_BG: NDArray[np.float32], start: int, positives: Positives, rho_P: NDArray[np.float64]
) -> None:
    """Write the ranks of the queries from `start` on, whose scores are given, into their part of `rho_P`."""
    start_B = positives.start[start : start + len(scores_BG) + 1]
    place = slice(start_B[0], start_B[-1])
    try:
        rho_P[place] = _ranks(scores_BG, start_B - start_B[0], positives.index[place])
    except _NotANumberError as error:
        query = start + int(np.flatnonzero(np.isnan(scores_BG).any(axis=1))[0])
        raise UserError(
            f"The scores of query {query} (counted from 0) hold NaN, which has no rank."
        ) from error


def rank_of_positives(row_G: NDArray[np.float32], positives: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rank the positives of one query by its scores [G], best first; infinite where a score is -inf."""
    return _ranks(row_G[None], np.array([0, len(positives)]), positives)


def _ranks(
    scores_BG: NDArray[np.float32], start_B: NDArray[np.int64], index_P: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rank the positives of each row, best first; row b has `index_P[start_B[b] : start_B[b + 1]]`."""
    if not len(index_P):
        return np.empty(0)
    query_P = np.repeat(np.arange(len(scores_BG)), np.diff(start_B))
    own_P = scores_BG[query_P, index_P]
    own_P = own_P[np.lexsort((-own_P, query_P))]
    above_P, reaching_P = _count(scores_BG, start_B, own_P)
    # Positives that tie with one another are no negatives: of those equal to it, only the others count.
    first_P = np.ones(len(own_P), bool)
    first_P[1:] = (query_P[1:] != query_P[:-1]) | (own_P[1:] != own_P[:-1])
    group_P = np.cumsum(first_P) - 1
    better_P = np.flatnonzero(first_P)[group_P] - start_B[query_P]
    equal_P = reaching_P - above_P - np.bincount(group_P)[group_P]
    rho_P: NDArray[np.float64] = (
        np.arange(1, len(own_P) + 1) - start_B[query_P] + (above_P - better_P) + equal_P / 2
    )
    # Not scored at all; `Ranks` refuses it, as half of what else is not scored would be no rank.
    rho_P[own_P == -np.inf] = np.inf
    return rho_P


def _count(
    scores_BG: NDArray[np.float32], start_B: NDArray[np.int64], own_P: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Count the entries of its row that score above each positive, and that score no less: [2, P]."""
    # What scores below the worst positive of its row counts for none. Of a good model, that is nearly all.
    reached = _reached(scores_BG, own_P[start_B[1:] - 1])
    if reached is None:
        return _count_all(scores_BG, start_B, own_P)
    row_N, score_N = reached
    found_2P = np.empty((2, len(own_P)), np.int64)
    counts_B = np.diff(start_B)
    for nth in range(counts_B.max()):
        has_B = counts_B > nth
        places = start_B[:-1][has_B] + nth
        own_B = np.full(len(scores_BG), np.inf, np.float32)
        own_B[has_B] = own_P[places]
        own_N = own_B[row_N]
        for found_P, counted_N in zip(found_2P, (score_N > own_N, score_N >= own_N), strict=True):
            found_P[places] = np.bincount(row_N[counted_N], minlength=len(scores_BG))[has_B]
    return found_2P


def _reached(
    scores_BG: NDArray[np.float32], lowest_B: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Find the scores that are no less than the lowest of their row: row [N] and score [N].

    Gives None where they are more than one in `FEW`.
    """
    # Read as it lies in memory, which for a transposed matrix is many times faster, and once.
    across = scores_BG.strides[0] < scores_BG.strides[1]
    laid_out = scores_BG.T if across else scores_BG
    width, found = laid_out.shape[1], 0
    rows: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float32]] = []
    size = max(1, CACHED_ENTRIES // width)
    for first in range(0, len(laid_out), size):
        part = laid_out[first : first + size]
        least = lowest_B if across else lowest_B[first : first + size, None]
        # Not below, rather than no less: NaN is neither, and so comes to light here.
        flat_N = np.flatnonzero(~(part < least))
        found += len(flat_N)
        if found * FEW > scores_BG.size:
            return None
        along_N, across_N = np.divmod(flat_N, width)
        rows.append(across_N if across else along_N + first)
        scores.append(part[along_N, across_N])
    score_N = np.concatenate(scores)
    _require_numbers(score_N)
    return np.concatenate(rows), score_N


def _count_all(
    scores_BG: NDArray[np.float32], start_B: NDArray[np.int64], own_P: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Count the same by two comparisons of the matrix for each positive, in parts that stay in the cache."""
    rows, gallery = scores_BG.shape
    size, counts_B = max(1, CACHED_ENTRIES // gallery), np.diff(start_B)
    # Rows of whole words, so that eight comparisons are added at a time.
    mask_SW = np.zeros((min(size, rows), -(-gallery // WORD) * WORD), bool)
    found_2P = np.empty((2, len(own_P)), np.int64)
    for first in range(0, rows, size):
        part_SG = _in_rows(scores_BG[first : first + size])
        _require_numbers(part_SG)
        counts_S = counts_B[first : first + size]
        for nth in range(counts_S.max()):
            has_S = counts_S > nth
            asked_SG = part_SG if has_S.all() else part_SG[has_S]
            places = start_B[first : first + len(part_SG)][has_S] + nth
            for found_P, exceeds in zip(found_2P, (np.greater, np.greater_equal), strict=True):
                exceeds(asked_SG, own_P[places, None], out=mask_SW[: len(places), :gallery])
                found_P[places] = _true_in_rows(mask_SW[: len(places)])
    return found_2P


class _NotANumberError(ValueError):
    pass


def _require_numbers(scores: NDArray[np.float32]) -> None:
    # The greatest is NaN where any is, and takes no second matrix to find.
    if np.isnan(scores.max()):
        raise _NotANumberError


def _in_rows(scores_SG: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay the scores out row by row; columns of another matrix, as a transposed one has, are copied."""
    if scores_SG.flags.c_contiguous:
        return scores_SG
    rows_SG = np.empty(scores_SG.shape, np.float32)
    # A few columns at a time, so that what is written to one place is still in the cache.
    for first in range(0, scores_SG.shape[1], COPIED_COLUMNS):
        columns = slice(first, first + COPIED_COLUMNS)
        rows_SG[:, columns] = scores_SG[:, columns]
    return rows_SG


def _true_in_rows(mask_SW: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count what is true in each row [S]; rows are whole words."""
    words = mask_SW.view(np.uint64)
    true_S = np.zeros(len(words), np.int64)
    # Each of the eight bytes of a word counts for itself, up to 255.
    for first in range(0, words.shape[1], 255):
        lanes = np.add.reduce(words[:, first : first + 255], axis=1).view(np.uint8)
        true_S += lanes.reshape(-1, WORD).sum(axis=1, dtype=np.int64)
    return true_S


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
