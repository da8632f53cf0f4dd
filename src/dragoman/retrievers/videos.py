"""Videos by any encoder, whether it reads images or videos: frames, and several frames together.

A model of videos encodes frames together; of a model of images, several frames are their mean.

F frames, X width of what the model sees in a frame, D of what its tower makes of it; N videos or parts of
them, J joint width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dragoman.media.frames import MOST_FRAMES, Sampling, padded, spread
from dragoman.media.reading import part_frames
from dragoman.media.video import VideoPart
from dragoman.retrievers.base import Encoder

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 4
"""Frames that wait at a time: each is a decoded picture of full size."""


def encode_video(encoder: Encoder, part: VideoPart) -> NDArray[np.float32]:
    """Encode a video, [J] of unit length, by at most as many of its frames as a model of videos reads.

    Memory: one vector a frame, and a batch of frames. Raises ImageError as `part_frames`.
    """
    sampling = sampling_of(encoder)
    frames = part_frames(part, replace(sampling, most=min(sampling.most, MOST_FRAMES)))
    vectors_FX, _ = encode_frames(encoder, frames)
    # Where a file understates its length, more frames come than were asked for.
    kept_FX = vectors_FX[spread(len(vectors_FX), MOST_FRAMES)]
    vector_J: NDArray[np.float32] = encode_videos(encoder, [kept_FX])[0]
    return vector_J


def sampling_of(encoder: Encoder) -> Sampling:
    """Say which frames the model was trained on; one a second where it was trained on images."""
    return Sampling(**(encoder.vision.get("sampling") or {}))


def encode_frames(
    encoder: Encoder, frames: Iterator[tuple[float, Image]]
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Encode frames: [F, X] what the model sees in them, and their times [F]. Raises as the frames do."""
    vectors, times = [], []
    while batch := list(islice(frames, BATCH)):
        times += [time for time, _ in batch]
        pictures = [image for _, image in batch]
        # Of a model of videos the vectors of its tower are needed, as its frames are encoded together.
        vectors.append(
            encoder.tower_vectors(pictures)[:, 0] if encoder.reads_frames else encoder.encode_image(pictures)
        )
    return np.concatenate(vectors), np.array(times)


def encode_tower_vectors(encoder: Encoder, vectors_FD: NDArray[np.floating]) -> NDArray[np.floating]:
    """Give what the model sees in frames that its tower saw before: [F, X]."""
    return vectors_FD if encoder.reads_frames else encoder.encode_features(vectors_FD)


def encode_videos(encoder: Encoder, videos: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Encode the frames [F, X] of each video or part together: [N, J] of unit length."""
    if encoder.reads_frames:
        vectors_NJ = np.asarray(encoder.encode_features(padded(videos)))
    else:
        vectors_NJ = np.stack([vectors_FJ.mean(axis=0) for vectors_FJ in videos])
    length_N1 = np.maximum(np.linalg.norm(vectors_NJ, axis=1, keepdims=True), 1e-9)
    return np.asarray(vectors_NJ / length_N1, np.float32)
