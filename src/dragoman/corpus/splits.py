"""Splits by hash: an item keeps its split when others come and go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import accumulate

from dragoman.records import SPLITS, Split


def split_by_hash(fractions: tuple[float, float, float], seed: int) -> Callable[[str], Split]:
    """A function from item id to split; train, val and test get the given shares, which sum to 1."""
    bounds = list(accumulate(fractions))

    def split_of(item_id: str) -> Split:
        digest = hashlib.sha256(f"{seed}:{item_id}".encode()).digest()
        position = int.from_bytes(digest[:8]) / 2**64 * bounds[-1]
        # A rounding error in the last bound must not send an item past the end.
        return next((split for split, bound in zip(SPLITS, bounds, strict=True) if position < bound), "train")

    return split_of
