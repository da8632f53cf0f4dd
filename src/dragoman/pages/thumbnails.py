"""Small pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
import warnings

from PIL import Image, ImageOps

from dragoman.corpus.corpus import Corpus
from dragoman.errors import MissingExtraError
from dragoman.media.images import ImageError
from dragoman.media.reading import mosaic

SIDE = 132
QUALITY = 72


class Thumbnails:
    """Thumbnails of a corpus's items by id: of a video four of its frames. An item without a readable local
    file has none."""

    def __init__(self, corpus: Corpus) -> None:
        items = corpus.items.select(["item_id", "path", "kind"]).to_pydict()
        self._path = dict(zip(items["item_id"], items["path"], strict=True))
        self._kind = dict(zip(items["item_id"], items["kind"], strict=True))
        self._corpus = corpus
        self._made: dict[str, str | None] = {}

    def of(self, item_id: str) -> str | None:
        """Give a data URI, or null."""
        if item_id not in self._made:
            path = self._path.get(item_id)
            made = None if path is None else self._corpus.media_path(path)
            self._made[item_id] = made and _data_uri(made, self._kind[item_id])
        return self._made[item_id]


def _data_uri(path: str, kind: str) -> str | None:
    if "://" in path:
        return None
    try:
        # Pillow warns of image bombs before it raises; a report must not decode either.
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            jpeg = _jpeg(mosaic(path, SIDE)) if kind == "video" else _small_jpeg(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    except (ImageError, MissingExtraError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _small_jpeg(path: str) -> bytes:
    with Image.open(path) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        small = ImageOps.exif_transpose(image).convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    paper = Image.new("RGB", small.size, "white")
    paper.paste(small, mask=small.getchannel("A"))
    return _jpeg(paper)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
