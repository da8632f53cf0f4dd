"""Re-ranking: the best of a first stage in the order of a slower scorer, everything else behind them.

Q queries, G gallery entries, K depth of the block, N pairs, B queries of one block of rows.

Ranks stay complete, from 1 to G: behind the block the order of the first stage stands. The block of a query
holds the entries that no more than K - 1 others equal or exceed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation.ranks import Positives, Ranks, blocks, rank_of_positives, require_fit, top
from dragoman.evaluation.scores import Scores

Match = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating]]
"""Query rows [N] and gallery rows [N] to scores [N], higher is better."""


def rerank(scores: Scores, match: Match, positives: Positives, *, depth: int, listed: int = 0) -> Ranks:
    """Rank by `scores`, then put the best `depth` of each query into the order of `match`.

    `match` is called once, with all pairs. `listed` best hits of each query are kept; behind the block their
    scores are those of the first stage, shifted below it. Memory: `depth` places and scores a query. Raises
    UserError for scores that are no numbers.
    """
    queries, gallery = scores.shape
    require_fit(positives, queries, gallery)
    if depth < 1:
        raise UserError(f"Re-ranking needs a depth of at least 1, got {depth}")
    query_N, entry_N = _pairs(scores, min(depth, gallery))
    match_N = np.asarray(match(query_N, entry_N), np.float32)
    if match_N.shape != query_N.shape or not np.isfinite(match_N).all():
        raise UserError(
            f"Re-ranking gave scores of shape {match_N.shape} for {len(query_N)} pairs, "
            f"{np.count_nonzero(~np.isfinite(match_N))} of them not finite; one number a pair expected."
        )
    start_Q = np.searchsorted(query_N, np.arange(queries + 1))
    listed = min(listed, gallery)
    rho_P = np.empty(len(positives.index))
    top_index, top_score = np.empty((queries, listed), np.int64), np.empty((queries, listed), np.float32)
    for start, stop in blocks(queries, gallery):
        for query, row_G in enumerate(scores.rows(start, stop), start):
            own = slice(start_Q[query], start_Q[query + 1])
            block_K, match_K = entry_N[own], match_N[own]
            # Out of the way of those that stay behind; the caller's rows may be a view.
            rest_G = row_G.copy()
            rest_G[block_K] = -np.inf
            place = slice(positives.start[query], positives.start[query + 1])
            rho_P[place] = _rho(block_K, match_K, rest_G, positives.of(query))
            if listed:
                hits = _hits(block_K, match_K, rest_G, listed)
                top_index[query], top_score[query] = hits
    return Ranks(positives.start, rho_P, gallery, top_index, top_score)


def _pairs(scores: Scores, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List queries [N] and gallery entries [N] of all blocks, by ascending query and entry."""
    queries: list[NDArray[np.int64]] = []
    entries: list[NDArray[np.int64]] = []
    for start, stop in blocks(*scores.shape):
        for query, row_G in enumerate(scores.rows(start, stop), start):
            if not np.isfinite(row_G).all():
                raise UserError(
                    f"The scores of query {query} (counted from 0) are not all finite. Re-ranking needs the "
                    "first stage's score of every entry: the order behind the block is theirs."
                )
            entries.append(_block(row_G, depth))
            queries.append(np.full(len(entries[-1]), query))
    return np.concatenate(queries), np.concatenate(entries)


def _block(row_G: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    # Those that tie at the border are all in or, where they are too many, all out, so that no figure depends
    # on the order of the input.
    border = np.partition(row_G, len(row_G) - depth)[len(row_G) - depth]
    whole = np.flatnonzero(row_G >= border)
    return whole if len(whole) <= depth else np.flatnonzero(row_G > border)


def _rho(
    block_K: NDArray[np.int64],
    match_K: NDArray[np.float32],
    rest_G: NDArray[np.float32],
    positives: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Rank the positives, best first: those in the block, then those behind it."""
    inside = np.isin(positives, block_K)
    in_block = np.flatnonzero(np.isin(block_K, positives))
    behind = rank_of_positives(rest_G, positives[~inside])
    return np.concatenate([rank_of_positives(match_K, in_block), len(block_K) + behind])


def _hits(
    block_K: NDArray[np.int64], match_K: NDArray[np.float32], rest_G: NDArray[np.float32], listed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    best = top(match_K, min(listed, len(block_K))) if len(block_K) else np.empty(0, np.int64)
    places, scores = block_K[best], match_K[best]
    missing = listed - len(places)
    # Both stages have scales of their own: those behind the block are shifted until the list descends.
    if missing:
        behind = top(rest_G, missing)
        shift = match_K.min() - rest_G[behind[0]] - 1 if len(block_K) else 0
        places = np.concatenate([places, behind])
        scores = np.concatenate([scores, rest_G[behind] + shift])
    return places, scores
