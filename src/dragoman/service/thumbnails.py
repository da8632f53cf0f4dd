"""Small versions of pictures, made on request and kept in bounded memory."""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import suppress
from pathlib import Path

from cachetools import LRUCache
from PIL import Image

from dragoman.media.images import Decoding, open_image
from dragoman.media.reading import frame_at

SIZES = (64, 128, 256, 384, 512, 768, 1024)
"""Longer side in pixels; what is asked for is rounded up to one of them, so that few versions exist."""
QUALITY = 80
FORMATS = {"webp": "image/webp", "jpeg": "image/jpeg"}


def size_for(asked: int) -> int:
    """The size that is made where `asked` pixels are wanted."""
    return next((size for size in SIZES if size >= asked), SIZES[-1])


def tag(file: Path, source: str, size: int, format: str) -> str:
    """An entity tag that changes with the file, the digest of its entry, size and format.

    Raises OSError where the file is not there.
    """
    state = file.stat()
    said = f"{file}\0{state.st_mtime_ns}\0{state.st_size}\0{source}\0{size}\0{format}"
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def render(file: Path, size: int, format: str, decoding: Decoding, at: float | None = None) -> bytes:
    """The picture upright, its longer side at most `size`; never enlarged, without metadata.

    Of a video, the frame `at` so many seconds. Raises ImageError for what cannot be shown.
    """
    # A JPEG is decoded to twice the size that is wanted, or more, and then scaled down well.
    image = open_image(file, decoding, 2 * size) if at is None else frame_at(file, at, decoding)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    # A colour profile matters to how a photo looks; place, date and camera stay in the file.
    profile = image.info.get("icc_profile")
    kept = {"icc_profile": profile} if profile and profile[16:20] == b"RGB " else {}
    image.save(content, format, quality=QUALITY, **kept)
    return content.getvalue()


class Thumbnails:
    """A cache of rendered thumbnails by their tag, for several threads; the longest unused leave first."""

    def __init__(self, megabytes: float) -> None:
        self._kept: LRUCache[str, bytes] = LRUCache(megabytes * 1e6, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, tag: str) -> bytes | None:
        """The thumbnail, if it is still there."""
        with self._lock:
            return self._kept.get(tag)

    def put(self, tag: str, content: bytes) -> None:
        """Keep it, and drop others until all of it fits."""
        with self._lock, suppress(ValueError):  # larger than the whole cache
            self._kept[tag] = content
