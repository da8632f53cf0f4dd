"""Pictures and texts in one list of hits, neither of which floods it.

A query in words has far higher cosines with texts than with pictures, and a picture far higher ones with
pictures. So each kind is searched by itself, and the two lists are merged: by relevance, where the
calibration tells it of both, and else by rarity, which asks how many entries of its kind would score so high
by chance. Videos are pictures here. Within a kind the order of the search stays.

K hits, J width of the vectors, B entries of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dragoman.index.entries import TEXTS
from dragoman.records import Hit
from dragoman.stores import Filter, Store
from dragoman.stores.filters import And, Not

PICTURES = Not(TEXTS)
FEWEST = 20
"""Entries of a kind of which a tail can be drawn; of fewer, scores tell nothing but themselves."""
SAMPLE = 256
"""Entries of a kind that tell how close a query is to all of it."""
SECONDS = 60.0
"""Time for which a sample is taken to be one of what is there."""
COUNTED = 5.0
"""The same of the numbers of entries."""
TAIL = 0.1
"""Share of a sample, of its highest scores, by which its tail is drawn."""
LEAST = 0.005
"""Mean length of a tail at least: the scores of a few entries may all be equal."""
Floats = NDArray[np.floating]
Value = TypeVar("Value")


class Kinds:
    """Entries of each kind in a store, looked at now and then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Without a lock, as the fields that are known: two who ask at once do the same work.
        self._known: dict[object, tuple[float, object]] = {}

    def count(self, kind: Filter) -> int:
        """Count the entries of a kind, `TEXTS` or `PICTURES`."""
        return self._kept(("count", kind), COUNTED, lambda: self._store.count(kind))

    def sample(self, kind: Filter) -> NDArray[np.float32]:
        """[B, J] vectors of some entries of a kind."""
        return self._kept(("sample", kind), SECONDS, lambda: self._store.sample(SAMPLE, kind))

    def forget(self) -> None:
        """Look again: something was written."""
        self._known.clear()

    def _kept(self, key: object, seconds: float, look: Callable[[], Value]) -> Value:
        until, found = self._known.get(key, (0.0, None))
        if monotonic() >= until:
            found = look()
            self._known[key] = (monotonic() + seconds, found)
        return found  # type: ignore[return-value]


def both(one: Filter | None, other: Filter) -> Filter:
    """Join two filters, of which the first may be none."""
    return other if one is None else And((one, other))


def rarity(cosine_K: Floats, sample_B: Floats, entries: int) -> Floats:
    """[K] of cosines: less the logarithm of the number of entries of a kind, of which there are so many, that
    a query of such scores on a sample of them is expected to give that cosine or more.

    The highest scores of the sample are taken for an exponential tail (peaks over a threshold: Pickands,
    Annals of Statistics 3, 1975); below it their ranks count. That number instead of the probability keeps
    the larger kind from winning by its size, as the E-value of BLAST does (Karlin and Altschul, PNAS 87,
    1990).
    """
    falling_B = np.sort(np.asarray(sample_B, np.float64))[::-1]
    size, cosine_K = len(falling_B), np.asarray(cosine_K, np.float64)
    if not size:
        return cosine_K
    above = min(max(2, round(TAIL * size)), size - 1)
    threshold = falling_B[above]
    length = max(float((falling_B[:above] - threshold).mean()) if above else 0.0, LEAST)
    higher_K = np.searchsorted(-falling_B, -cosine_K, side="right")
    by_rank_K = np.log(size / (higher_K + 0.5))
    by_tail_K = np.log(size / max(above, 0.5)) + (cosine_K - threshold) / length
    found: Floats = np.where(cosine_K > threshold, by_tail_K, by_rank_K) - np.log(max(entries, 1))
    return found


def merged(*lists: tuple[Sequence[Hit], Sequence[float]]) -> list[Hit]:
    """Merge lists of hits by a worth of each; worths of a list that rise again count as they stood before."""
    ranked = []
    for hits, worth in lists:
        falling = np.minimum.accumulate(np.asarray(worth, np.float64))
        ranked += [(-float(one), at, hit) for at, (one, hit) in enumerate(zip(falling, hits, strict=True))]
    # By their places next, so that lists of equal worth alternate.
    return [hit for _, _, hit in sorted(ranked, key=lambda one: one[:2])]
