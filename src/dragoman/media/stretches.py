"""Which seconds of a video each of its frames stands for.

F frames, X width of their vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.media.video import Sampling

Seconds = NDArray[np.float64]


class Frames(NamedTuple):
    """Frames of a video."""

    vectors: NDArray[np.floating]
    """[F, X]."""
    edges: Seconds
    """[F + 1] where the stretch of each frame begins, and where the last one ends."""
    scenes: bool = False
    """Whether each frame was chosen as that of a scene."""


def frames(vectors_FX: NDArray[np.floating], times_F: Seconds, sampling: Sampling) -> Frames:
    """Frames that were looked at by `sampling`, with what each stands for."""
    by_scene = sampling.scenes is not None
    edges = scene_edges(times_F, sampling.most) if by_scene else time_edges(times_F, sampling.every)
    return Frames(vectors_FX, edges, by_scene)


def time_edges(times_F: Seconds, every: float) -> Seconds:
    """Of frames by time, each stands for the seconds until the next one.

    The last one stands for as long as the others usually do, `every` seconds where it is alone: the video
    ends within them, or a further frame would have been looked at.
    """
    last = float(np.median(np.diff(times_F))) if len(times_F) > 1 else every
    return np.array([0.0, *times_F[1:], times_F[-1] + last])


def scene_edges(times_F: Seconds, most: int) -> Seconds:
    """Of the middles of scenes, each stands for its scene, from end to end.

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
