"""A video as moments: which of its frames belong together, and a vector for each such part.

F frames, D width of the vectors, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.encoders.film_vectors import frame_vectors, sampling_of, together
from dragoman.encoders.loading import Encoder
from dragoman.encoders.videos import sampled_frames

LONGEST = 10.0
"""Seconds of a moment."""
MOST = 20_000
"""Frames that are looked at: five hours, one a second."""
OUTSTANDING, LEAST = 4.0, 0.1
"""A new scene begins where the cosine distance of two frames is so many times the median of the video, and no
less than this."""


@dataclass(frozen=True, eq=False)
class Moment:
    """A part of a video."""

    start: float
    end: float
    """Seconds from the first frame."""
    vector: NDArray[np.float32]
    """[J], of unit length."""


def moments(
    encoder: Encoder, file: str | Path, max_megapixels: float, longest: float = LONGEST
) -> list[Moment]:
    """The moments of a video file, in order; they cover all of it.

    A model of videos encodes the frames of a moment as a video; of a model of images, a moment is the mean of
    its frames. Memory: one vector a frame. Raises ImageError as `sampled_frames`.
    """
    sampling = sampling_of(encoder)
    frames = sampled_frames(file, replace(sampling, most=MOST), max_megapixels)
    vectors_FD, times_F = frame_vectors(encoder, frames)
    end = times_F[-1] + (float(np.median(np.diff(times_F))) if len(times_F) > 1 else sampling.every)
    found = []
    for first, last in parts(vectors_FD, times_F, longest):
        until = times_F[last] if last < len(times_F) else end
        vector_J = together(encoder, vectors_FD[first:last])
        found.append(Moment(float(times_F[first]), float(until), vector_J))
    return found


def parts(
    vectors_FD: NDArray[np.floating], times_F: NDArray[np.float64], longest: float
) -> list[tuple[int, int]]:
    """First frame, and the one behind the last, of each part: scenes, cut evenly to `longest` seconds.

    A scene begins where the cosine distance to the frame before stands out from those of the whole video.
    """
    unit_FD = np.asarray(vectors_FD, np.float64)
    unit_FD = unit_FD / np.maximum(np.linalg.norm(unit_FD, axis=1, keepdims=True), 1e-9)
    change = 1 - (unit_FD[1:] * unit_FD[:-1]).sum(axis=1)
    usual = float(np.median(change)) if len(change) else 0.0
    cuts = [0, *(np.flatnonzero(change > max(OUTSTANDING * usual, LEAST)) + 1).tolist(), len(times_F)]
    found: list[tuple[int, int]] = []
    for first, last in pairwise(cuts):
        until = times_F[last] if last < len(times_F) else times_F[-1]
        pieces = min(max(1, int(np.ceil((until - times_F[first]) / longest))), last - first)
        edges = np.linspace(first, last, pieces + 1).round().astype(int).tolist()
        found += pairwise(edges)
    return found
