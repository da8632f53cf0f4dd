"""Videos by the model of an index, whether it reads images or videos: frames, and several frames together.

A model of videos encodes frames together; of a model of images, several frames are their mean.

F frames, D width of what is kept of a frame, J joint width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.frames import MOST_FRAMES, padded, spread
from dragoman.encoders.clips import Clip
from dragoman.encoders.loading import Encoder
from dragoman.encoders.videos import Sampling, clip_frames

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 4


def clip_vector(encoder: Encoder, clip: Clip) -> NDArray[np.float32]:
    """[J] of unit length: a clip by at most as many of its frames as a model of videos reads.

    Memory: one vector a frame, and a batch of frames. Raises ImageError as `clip_frames`.
    """
    sampling = sampling_of(encoder)
    frames = clip_frames(clip, replace(sampling, most=min(sampling.most, MOST_FRAMES)))
    vectors_FD, _ = frame_vectors(encoder, frames)
    # Where a file understates its length, more frames come than were asked for.
    return together(encoder, vectors_FD[spread(len(vectors_FD), MOST_FRAMES)])


def sampling_of(encoder: Encoder) -> Sampling:
    """Which frames the model was trained on; one a second where it was trained on images."""
    made = encoder.config.get("vision")
    return Sampling(**(made.get("sampling") or {})) if isinstance(made, dict) else Sampling()


def frame_vectors(
    encoder: Encoder, frames: Iterator[tuple[float, Image]]
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """[F, D] of frames, as `together` takes them, and their times [F]. Raises what the frames raise."""
    # Of a model of videos the vectors of its tower are needed, as its frames are encoded together.
    see = getattr(encoder, "see", None) if _reads_frames(encoder) else None
    vectors, times = [], []
    while batch := list(islice(frames, BATCH)):
        times += [time for time, _ in batch]
        pictures = [image for _, image in batch]
        vectors.append(see(pictures)[:, 0] if see is not None else encoder.encode_image(pictures))
    return np.concatenate(vectors), np.array(times)


def together(encoder: Encoder, vectors_FD: NDArray[np.floating]) -> NDArray[np.float32]:
    """[J] of unit length: frames that belong together."""
    if _reads_frames(encoder):
        vector_J = encoder.encode_features(padded([vectors_FD]))[0]
    else:
        vector_J = vectors_FD.mean(axis=0)
    return np.asarray(vector_J / max(float(np.linalg.norm(vector_J)), 1e-9), np.float32)


def _reads_frames(encoder: Encoder) -> bool:
    return bool(getattr(encoder, "reads_frames", False))
