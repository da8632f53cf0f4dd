"""The best rows of a matrix for each query, exactly.

A pass in single precision by BLAS finds every row that could be among the best; these few are scored
again in double precision and rounded. So a score depends on the two vectors alone, never on the position of a
row or on what else is in the batch: equal vectors have equal scores, and every store has the same.

N rows, Q queries, D width, B rows of a block, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.stores.embedded.rows import Rows

# Not by a library: faiss' flat index and others return sums in single precision, whose last bits depend on
# the batch and on the place of a row, and leave ties in any order. The same pictures would then come in
# another order after an update, and differ between stores.

BLOCK_SCORES = 1 << 20
"""Scores that are in memory at once: 4 MB, and a quarter of that for what is found among them."""
QUERIES_AT_ONCE = 256
GATHERED = 0.2
"""Largest share of allowed rows that are copied together instead of scoring all."""
GROUPS = 32
"""Length of the groups of scores whose maxima bound the k-th best."""
GATHERED_ROWS = 8192
SCORED_AGAIN = 4096
"""Candidates whose vectors are in memory at once in double precision."""


DECODED = 1024
"""Narrow rows that are read at once: as float32 they stay in the cache."""


class Candidates(NamedTuple):
    """Rows that may be among the best."""

    queries: NDArray[np.int64]
    """Positions of the queries [C]."""
    slots: NDArray[np.int64]
    scores: NDArray[np.float32]

    def where(self, kept_C: NDArray[np.bool_]) -> Candidates:
        return Candidates(self.queries[kept_C], self.slots[kept_C], self.scores[kept_C])


def best(
    matrix_ND: Rows,
    query_QD: NDArray[np.float32],
    k: int,
    allowed_N: NDArray[np.bool_] | None,
) -> Candidates:
    """The k best allowed rows of each query, and those that equal the last of them.

    In the order of queries, then of descending scores; all rows are allowed where `allowed_N` is None.
    """
    parts = []
    for start in range(0, len(query_QD), QUERIES_AT_ONCE):
        part_QD = query_QD[start : start + QUERIES_AT_ONCE]
        found = best_of(matrix_ND, part_QD, k, likely(matrix_ND, part_QD, k, allowed_N))
        parts.append(found._replace(queries=found.queries + start))
    return _joined(parts)


def best_of(matrix_ND: Rows, query_QD: NDArray[np.float32], k: int, found: Candidates) -> Candidates:
    """Score candidates again, and keep the k best of each query and those that equal the last of them."""
    score_C = scores(matrix_ND, query_QD, found.queries, found.slots)
    order_C = np.lexsort((-score_C, found.queries))
    query_C, score_C = found.queries[order_C], score_C[order_C]
    starts_Q = np.searchsorted(query_C, np.arange(len(query_QD)))
    ends_Q = np.append(starts_Q[1:], len(query_C))
    last_Q = np.minimum(starts_Q + k, ends_Q) - 1
    kept_C = score_C >= score_C[last_Q][query_C] if len(score_C) else np.zeros(0, bool)
    return Candidates(query_C[kept_C], found.slots[order_C][kept_C], score_C[kept_C])


def scores(
    matrix_ND: Rows,
    query_QD: NDArray[np.float32],
    query_C: NDArray[np.int64],
    slot_C: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Dot products of some rows with some queries, correctly rounded but for the rarest."""
    # A product of two float32 is exact in float64 (24 + 24 bits of 53), so only the sum rounds there, 2**29
    # times finer than float32: what it is rounded to at the end is the same in any order, but for the rarest.
    exact_QD = query_QD.astype(np.float64)
    score_C = np.empty(len(slot_C), np.float32)
    for start in range(0, len(slot_C), SCORED_AGAIN):
        part = slice(start, start + SCORED_AGAIN)
        score_C[part] = np.vecdot(matrix_ND[slot_C[part]].astype(np.float64), exact_QD[query_C[part]])
    return score_C


def likely(
    matrix_ND: Rows,
    query_QD: NDArray[np.float32],
    k: int,
    allowed_N: NDArray[np.bool_] | None,
) -> Candidates:
    """Every allowed row that is among the k best of a query or equals one, and few others."""
    # Twice the error bound of a sum of D products in single precision, D * 2**-24 * |query| * |row| with rows
    # of length 1, for the row and for the one it is compared with.
    norm_Q = np.linalg.norm(query_QD, axis=1)
    margin_Q = (2.0**-23 * query_QD.shape[1] * norm_Q).astype(np.float32)
    # Above minus infinity, the score of what is not allowed.
    bound_Q = np.full(len(query_QD), np.finfo(np.float32).min)
    chosen = _few(allowed_N)
    blocks = (
        _scored(matrix_ND, query_QD, allowed_N) if chosen is None else _gathered(matrix_ND, query_QD, chosen)
    )
    parts = []
    for first, score_QB in blocks:
        np.maximum(bound_Q, _kth_at_least(score_QB, k) - margin_Q, out=bound_Q)
        # One dimension at a time: for two, NumPy looks at each value by itself.
        place_C = np.flatnonzero(score_QB >= bound_Q[:, None])
        query_C, column_C = np.divmod(place_C, score_QB.shape[1])
        parts.append(Candidates(query_C, column_C + first, score_QB.ravel()[place_C]))
    found = _joined(parts)
    found = found.where(found.scores >= bound_Q[found.queries])
    return found if chosen is None else found._replace(slots=chosen[found.slots])


def _few(allowed_N: NDArray[np.bool_] | None) -> NDArray[np.int64] | None:
    """The allowed rows, where they are so few that copying them pays."""
    if allowed_N is None or np.count_nonzero(allowed_N) > GATHERED * len(allowed_N):
        return None
    return np.flatnonzero(allowed_N)


def _scored(
    matrix_ND: Rows, query_QD: NDArray[np.float32], allowed_N: NDArray[np.bool_] | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First row and scores [Q, B] of each block; what is not allowed scores minus infinity."""
    # Block by block: scores are compared while they are in the cache, memory does not grow with the store,
    # and the bound that the first blocks set keeps candidates of the later ones few.
    rows = max(GROUPS, BLOCK_SCORES // len(query_QD))
    for first in range(0, len(matrix_ND), rows):
        score_QB = _product(query_QD, matrix_ND[first : first + rows])
        if allowed_N is not None:
            score_QB[:, np.flatnonzero(~allowed_N[first : first + rows])] = -np.inf
        yield first, score_QB


def _gathered(
    matrix_ND: Rows, query_QD: NDArray[np.float32], chosen: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The same of chosen rows only, copied together."""
    rows = min(GATHERED_ROWS, max(GROUPS, BLOCK_SCORES // len(query_QD)))
    for first in range(0, len(chosen), rows):
        yield first, _product(query_QD, matrix_ND[chosen[first : first + rows]])


def _product(query_QD: NDArray[np.float32], row_BD: Rows) -> NDArray[np.float32]:
    if not isinstance(row_BD, np.ndarray):
        score_QB = np.empty((len(query_QD), len(row_BD)), np.float32)
        for start in range(0, len(row_BD), DECODED):
            part = slice(start, start + DECODED)
            score_QB[:, part] = _product(query_QD, row_BD[part].read())
        return score_QB
    # OpenBLAS computes with what lies beside the rows as well, and warns of it although all rows are finite.
    with np.errstate(all="ignore"):
        # A matrix of one row is multiplied far more slowly than a vector.
        return (row_BD @ query_QD[0])[None] if len(query_QD) == 1 else query_QD @ row_BD.T


def _kth_at_least(score_QB: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A number [Q] that at least k scores of each row reach; minus infinity where there are fewer.

    k groups whose maximum reaches it are k scores that do, and maxima are found much faster than ranks.
    """
    queries, count = score_QB.shape
    width = count // GROUPS
    if width < k:
        most, width = score_QB, count
    else:
        most = score_QB[:, :width].copy()
        for start in range(width, width * GROUPS, width):
            np.maximum(most, score_QB[:, start : start + width], out=most)
    if width < k:
        return np.full(queries, -np.inf, np.float32)
    return np.partition(most, width - k, axis=1)[:, width - k]


def _joined(parts: list[Candidates]) -> Candidates:
    if not parts:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    queries, slots, scores_ = zip(*parts, strict=True)
    return Candidates(np.concatenate(queries), np.concatenate(slots), np.concatenate(scores_))
