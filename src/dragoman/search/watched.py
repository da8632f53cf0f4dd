"""The vectors of videos that were asked with last: whoever adds a word to a video asks with it again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from dragoman.media.video import VideoPart
from dragoman.retrievers.film_vectors import clip_vector
from dragoman.retrievers.loading import Encoder

KEPT = 256
"""Videos."""


class Watched:
    """For one model. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def vector(self, encoder: Encoder, part: VideoPart) -> NDArray[np.float32]:
        """[J] as `clip_vector`; a content that is known under the same limits is not decoded again."""
        if not isinstance(part.source, bytes):
            return clip_vector(encoder, part)
        content = hashlib.sha256(part.source).digest()
        asked = (content, part.start, part.end, part.decoding, part.max_seconds)
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
                return self._kept[asked]
        vector_J = clip_vector(encoder, part)
        with self._lock:
            self._kept[asked] = vector_J
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return vector_J
