"""Items that look alike side by side, so that the hardest negatives of a text stand in its own step.

Mining by frozen vectors, as NegCLIP (arXiv 2210.01936, section 4) does, costs nothing while training.

U units, I items, N near items, D width of the vectors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet

NEAREST = 8
"""N: where many items are close to one, its own units are soon used up."""
BLOCK = 1024


def nearest_items(features: FeatureSet, item_ids: Sequence[str]) -> NDArray[np.int64]:
    """[I, N] of each item those that look most alike, by place in `item_ids`, the nearest first.

    By the cosine of vectors less the mean of all; a video is the mean of its frames. Takes time in I² D and
    memory in I D; fewer than N where there are not so many others.
    """
    rows_I = features.rows(item_ids)
    vectors_ID = np.empty((len(rows_I), features.width), np.float32)
    for start in range(0, len(rows_I), BLOCK):
        seen = np.asarray(features.whole(rows_I[start : start + BLOCK]), np.float32)
        vectors_ID[start : start + BLOCK] = np.nanmean(seen, axis=1) if seen.ndim == 3 else seen
    vectors_ID -= vectors_ID.mean(axis=0)
    vectors_ID /= np.maximum(np.linalg.norm(vectors_ID, axis=1, keepdims=True), 1e-9)
    count = min(NEAREST, len(rows_I) - 1)
    found_IN = np.empty((len(rows_I), count), np.int64)
    if not count:
        return found_IN
    for start in range(0, len(rows_I), BLOCK):
        cosine_BI = vectors_ID[start : start + BLOCK] @ vectors_ID.T
        places_B = np.arange(len(cosine_BI))
        cosine_BI[places_B, start + places_B] = -np.inf
        some_BN = np.argpartition(-cosine_BI, count - 1, axis=1)[:, :count]
        nearness_BN = np.take_along_axis(cosine_BI, some_BN, axis=1)
        order_BN = np.argsort(-nearness_BN, axis=1, kind="stable")
        found_IN[start : start + BLOCK] = np.take_along_axis(some_BN, order_BN, axis=1)
    return found_IN


def side_by_side(
    order_U: NDArray[np.int64], item_U: NDArray[np.int64], nearest_IN: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The same units, each followed by the next one of the nearest item that has any left.

    item_U: the item of each unit. Units whose near items are used up follow one another as before.
    """
    waiting: list[deque[int]] = [deque() for _ in nearest_IN]
    for unit in order_U.tolist():
        waiting[item_U[unit]].append(unit)
    found = []
    for unit in order_U.tolist():
        own = waiting[item_U[unit]]
        # Units of an item are used in their order, so that one which is not at the head has been.
        if not own or own[0] != unit:
            continue
        found.append(own.popleft())
        partner = next((waiting[near] for near in nearest_IN[item_U[unit]] if waiting[near]), None)
        if partner is not None:
            found.append(partner.popleft())
    return np.array(found, np.int64)
