"""Moments of a video: which of its frames belong together.

F frames, X width of what a model sees in a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.media.frames import Frames, Seconds, frames
from dragoman.media.images import DECODING, Decoding
from dragoman.media.reading import sampled_frames
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.videos import encode_frames, sampling_of

LONGEST = 10.0
"""Seconds of a moment."""
MOST = 20_000
"""Frames that are looked at: five hours, one a second."""
OUTSTANDING, LEAST = 4.0, 0.1
"""A new scene begins where the cosine distance of two frames is so many times the median of the video, and no
less than this."""
SLACK = 1e-6
"""Seconds, for sums of floats."""
BLOCK = 512
"""Frames that are compared at a time, in double precision."""


@dataclass(frozen=True, eq=False)
class Moment:
    """A part of a video."""

    start: float
    end: float
    """Seconds from the first frame."""
    seen: NDArray[np.floating]
    """[F, X] what the model sees in its frames."""


def frames_seen(encoder: Encoder, file: str | Path, decoding: Decoding = DECODING) -> Frames:
    """Encode a video file as a model sees it, by the sampling of its feature set.

    Memory: one vector a frame. Raises ImageError as `sampled_frames`.
    """
    sampling = replace(sampling_of(encoder), most=MOST)
    return frames(*encode_frames(encoder, sampled_frames(file, sampling, decoding)), sampling)


def moments(encoder: Encoder, seen: Frames, *, whole: bool, longest: float = LONGEST) -> list[Moment]:
    """Cut a video into moments, in order, which cover all of it; into one if `whole`."""
    # A model of videos was trained on clips as they are, with all cuts among their frames.
    is_short = encoder.reads_frames and seen.edges[-2] <= longest
    found = [(0, len(seen.vectors))] if whole or is_short else parts(seen, longest)
    edges = seen.edges.tolist()
    return [Moment(edges[first], edges[last], seen.vectors[first:last]) for first, last in found]


def parts(seen: Frames, longest: float) -> list[tuple[int, int]]:
    """Give the first frame of each part and the one behind its last: scenes, cut evenly to `longest` seconds.

    A scene begins with each frame that was chosen as that of a scene; else where the cosine distance to the
    frame before stands out from those of the whole video.
    """
    size = len(seen.vectors)
    starts = np.arange(1, size) if seen.scenes else _changes(seen.vectors)
    cuts = [0]
    for at in starts.tolist():
        # Ids tell moments apart by hundredths of a second.
        if seen.edges[at] - seen.edges[cuts[-1]] > 0.01:
            cuts.append(at)
    return [piece for scene in pairwise([*cuts, size]) for piece in _evenly(seen.edges, *scene, longest)]


def _changes(vectors_FX: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find frames that differ from the one before much more than usual."""
    # One vector more a block, for the pair of frames that lies across its end.
    starts = range(0, max(len(vectors_FX) - 1, 1), BLOCK)
    change = np.concatenate([_distances(vectors_FX[start : start + BLOCK + 1]) for start in starts])
    usual = float(np.median(change)) if len(change) else 0.0
    return np.flatnonzero(change > max(OUTSTANDING * usual, LEAST)) + 1


def _distances(vectors_FX: NDArray[np.floating]) -> NDArray[np.float64]:
    """Measure the cosine distance of each vector to the next, [F - 1]."""
    unit_FX = np.asarray(vectors_FX, np.float64)
    unit_FX = unit_FX / np.maximum(np.linalg.norm(unit_FX, axis=1, keepdims=True), 1e-9)
    distance: NDArray[np.float64] = 1 - (unit_FX[1:] * unit_FX[:-1]).sum(axis=1)
    return distance


def _evenly(edges: Seconds, first: int, last: int, longest: float) -> list[tuple[int, int]]:
    """Cut into pieces of `longest` seconds at most, or of one frame: even ones where the frames allow."""
    start, end = float(edges[first]), float(edges[last])
    number = max(1, int(np.ceil((end - start) / longest - SLACK)))
    marks = np.linspace(start, end, number + 1)[1:-1]
    after = np.searchsorted(edges[first + 1 : last], marks) + first + 1
    nearest = after - (marks - edges[after - 1] <= edges[after] - marks)
    pieces = list(pairwise(np.unique([first, *nearest, last]).tolist()))
    if all(at - before == 1 or edges[at] - edges[before] <= longest + SLACK for before, at in pieces):
        return pieces
    # Frames at odd times: even marks would leave a piece too long, so each is as long as it may be.
    cuts = [first]
    for at in range(first + 1, last):
        if edges[at + 1] - edges[cuts[-1]] > longest + SLACK:
            cuts.append(at)
    return list(pairwise([*cuts, last]))
