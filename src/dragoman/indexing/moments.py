"""A video as moments: which of its frames belong together, and a vector for each such part.

F frames, D width of the vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.frames import padded
from dragoman.encoders.loading import Encoder
from dragoman.encoders.videos import Sampling, sampled_frames

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 10.0
"""Seconds of a moment."""
MOST = 20_000
"""Frames that are looked at: five hours, one a second."""
OUTSTANDING, LEAST = 4.0, 0.1
"""A new scene begins where the cosine distance of two frames is so many times the median of the video, and no
less than this."""
BATCH = 4


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
    known = encoder.config.get("vision")
    sampling = Sampling(**(known.get("sampling") or {})) if isinstance(known, dict) else Sampling()
    frames = sampled_frames(file, replace(sampling, most=MOST), max_megapixels)
    # Of a model of videos the vectors of its tower are needed, as its frames are encoded together.
    reads_frames = getattr(encoder, "reads_frames", False)
    vectors_FD, times_F = _seen(encoder, frames, getattr(encoder, "see", None) if reads_frames else None)
    end = times_F[-1] + (float(np.median(np.diff(times_F))) if len(times_F) > 1 else sampling.every)
    found = []
    for first, last in parts(vectors_FD, times_F, longest):
        inside = vectors_FD[first:last]
        vector_J = encoder.encode_features(padded([inside]))[0] if reads_frames else inside.mean(axis=0)
        until = times_F[last] if last < len(times_F) else end
        unit_J = np.asarray(vector_J / max(float(np.linalg.norm(vector_J)), 1e-9), np.float32)
        found.append(Moment(float(times_F[first]), float(until), unit_J))
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


def _seen(
    encoder: Encoder, frames: Iterator[tuple[float, Image]], see: Callable[..., Any] | None
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """[F, D] of the frames by `see`, or [F, J] by the encoder, and their times."""
    vectors, times = [], []
    while batch := list(islice(frames, BATCH)):
        times += [time for time, _ in batch]
        pictures = [image for _, image in batch]
        vectors.append(see(pictures)[:, 0] if see is not None else encoder.encode_image(pictures))
    return np.concatenate(vectors), np.array(times)
