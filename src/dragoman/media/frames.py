"""Frames of a video that are looked at: which, what each stands for, and how videos lie side by side.

F frames, D width of their vectors. NumPy alone: nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dragoman.errors import UserError

MOST_FRAMES = 64
"""Frames of a video that a model reads, as in the code of NRCCR."""
Seconds = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Choice of the frames of a video that are looked at."""

    every: float = 1.0
    """Seconds between the frames of a video, the first of which is at 0."""
    scenes: float | None = None
    """Or the middle frame of every scene: a scene begins where a frame differs from the one before by more
    than this share of full contrast, in the mean over its pixels (try 0.2)."""
    most: int = 1024
    """Frames of a video. Where there would be more, so many are spread evenly over it."""

    def __post_init__(self) -> None:
        if not 0 < self.every < float("inf"):
            raise UserError(f"every must be above 0 seconds, got {self.every}")
        if self.scenes is not None and not 0 < self.scenes < 1:
            raise UserError(f"scenes must lie between 0 and 1, got {self.scenes}. Try 0.2")
        if self.most < 1:
            raise UserError(f"most must be at least 1 frame, got {self.most}")


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


class Frames(NamedTuple):
    """Frames of a video, and the seconds that each stands for."""

    vectors: NDArray[np.floating]
    """[F, D]."""
    edges: Seconds
    """[F + 1] seconds at which the stretch of each frame begins, and the last one ends."""
    scenes: bool = False
    """Each frame was chosen as that of a scene."""


def frames(vectors_FD: NDArray[np.floating], times_F: Seconds, sampling: Sampling) -> Frames:
    """Tell what each of the frames [F, D] stands for that were looked at by `sampling` at times [F]."""
    by_scene = sampling.scenes is not None
    edges = scene_edges(times_F, sampling.most) if by_scene else time_edges(times_F, sampling.every)
    return Frames(vectors_FD, edges, by_scene)


def time_edges(times_F: Seconds, every: float) -> Seconds:
    """Find the edges [F + 1] of frames by time: each stands for the seconds until the next one.

    The last one stands for as long as the others usually do, `every` seconds where it is alone: the video
    ends within them, or a further frame would have been looked at.
    """
    last = float(np.median(np.diff(times_F))) if len(times_F) > 1 else every
    return np.array([0.0, *times_F[1:], times_F[-1] + last])


def scene_edges(times_F: Seconds, most: int) -> Seconds:
    """Find the edges [F + 1] of middles of scenes: each stands for its scene, from end to end.

    Scenes follow one another, so that all their ends are told by the middles. Where there may have been more
    than `most`, and some left out, two that are neighbours meet half way.
    """
    edges = [0.0]
    if len(times_F) < most:
        for middle in times_F:
            edges.append(2 * float(middle) - edges[-1])
    else:
        edges += ((times_F[1:] + times_F[:-1]) / 2).tolist()
        edges.append(2 * float(times_F[-1]) - edges[-1])
    return np.array(edges)
