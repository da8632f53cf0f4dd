"""Vectors of the videos that were asked with last."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from dragoman.media.video import VideoPart
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.videos import video_vector

KEPT = 256
"""Videos whose vectors are kept."""


class VideoVectors:
    """Vectors of uploaded videos by one model. Safe to use from several threads."""

    def __init__(self) -> None:
        # A person who adds a word to a video asks with it again; decoding takes far longer than the search.
        self._kept: LRUCache[tuple[object, ...], NDArray[np.float32]] = LRUCache(KEPT)
        self._lock = threading.Lock()

    def vector(self, encoder: Encoder, part: VideoPart) -> NDArray[np.float32]:
        """[J] as `video_vector`; a content that is known under the same limits is not decoded again."""
        if not isinstance(part.source, bytes):
            return video_vector(encoder, part)
        content = hashlib.sha256(part.source).digest()
        asked = (content, part.start, part.end, part.decoding, part.max_seconds)
        with self._lock:
            if (known := self._kept.get(asked)) is not None:
                return known
        vector_J = video_vector(encoder, part)
        with self._lock:
            self._kept[asked] = vector_J
        return vector_J
