"""Frames of a video that a model reads: which of them, and how videos of any length lie side by side.

F frames, D width of their vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

MOST_FRAMES = 64
"""Frames of a video that a model reads, as in the code of NRCCR."""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most `most` of `count` positions: the middles of as many equal parts, or all of them."""
    kept = min(count, most)
    return (2 * np.arange(kept) + 1) * count // (2 * kept)


def padded(
    videos: Sequence[NDArray[np.floating]], length: int | None = None, dtype: DTypeLike = np.float16
) -> NDArray[np.floating]:
    """Lay one or more videos [F, D] of any length side by side: [n, length, D].

    Longer videos enter by frames spread evenly, shorter ones end in NaN. `length` is that of the longest
    video, at most MOST_FRAMES, unless it is given.
    """
    if length is None:
        length = min(MOST_FRAMES, max(len(video) for video in videos))
    # NaN and not zero: what reads padding by mistake cannot go unnoticed.
    found: NDArray[np.floating] = np.full((len(videos), length, videos[0].shape[1]), np.nan, dtype)
    for at, video in enumerate(videos):
        chosen = spread(len(video), length)
        found[at, : len(chosen)] = video[chosen]
    return found
