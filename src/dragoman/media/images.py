"""Images that others made: opened upright, RGB, of bounded size, or refused with a reason."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dragoman import errors
from dragoman.errors import UserError

# Formats that Pillow decodes itself. EPS is left out on purpose: opening one would start Ghostscript.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "TGA", "ICO")


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Limits and threads with which media of others are opened."""

    max_megapixels: float = 100.0
    """Largest image, or frame of a video; larger ones are rejected. One of 100 takes 300 MB as RGB."""
    workers: int | None = None
    """Threads that open and prepare images; by default one per core, at most 8."""

    def __post_init__(self) -> None:
        if not self.max_megapixels > 0:
            raise UserError(f"max_megapixels must be above 0, got {self.max_megapixels:g}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be at least 1, got {self.workers}")

    @property
    def threads(self) -> int:
        """Number of threads to start."""
        return self.workers or min(os.cpu_count() or 1, 8)


DECODING = Decoding()
_ORIENTATION = 0x0112
_header = threading.Lock()


class ImageError(UserError):
    """An image that cannot be used; `reason` says why, on one line and without the image's name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


def open_image(
    source: str | Path | bytes | Image.Image,
    decoding: Decoding = DECODING,
    at_least: int | None = None,
) -> Image.Image:
    """Open an image upright (EXIF orientation), mode RGB, transparency on white, first frame of several.

    Bytes are the content of an image file. Where `at_least` pixels a side are enough, a JPEG may come out at
    a half, a quarter or an eighth of its size, in a fraction of the time; nothing else is scaled. 16-bit
    grey keeps its upper 8 bits; 32-bit and floating-point grey is stretched from its minimum and maximum to
    0..255. Raises ImageError for what is missing, truncated, not an image, or larger than allowed
    (checked on the header, before any pixel is decoded).
    """
    try:
        if isinstance(source, Image.Image):
            return _usable(source, decoding)
        with _open_header(source if isinstance(source, bytes) else Path(source)) as image:
            _check_size(image, decoding)
            if at_least is not None:
                # The decoder of JPEG leaves out high frequencies; other formats ignore it.
                image.draft(None, (at_least, at_least))
            return _usable(image, decoding)
    except _RefusedError as refusal:
        reason = str(refusal)
    except FileNotFoundError:
        reason = "no such file"
    except UnidentifiedImageError:
        reason = f"not an image of a known format ({', '.join(FORMATS)})"
    except Exception as error:
        # Pillow's decoders raise nearly anything on hostile bytes; none of it may end a job of thousands.
        reason = f"damaged or truncated ({errors.reason(error)})"
    raise ImageError(str(source) if isinstance(source, str | Path) else "image", reason)


def format_of(content: bytes) -> str:
    """Return Pillow's name of the format of an image that `open_image` opened."""
    with _open_header(content) as image:
        return str(image.format)


def image_header(content: bytes) -> Image.Image:
    """Open an image of which nothing is decoded yet: its size as stored, and its tags. Raises ImageError."""
    try:
        return _open_header(content)
    except Exception as error:
        raise ImageError("image", f"its header cannot be read ({errors.reason(error)})") from None


class _RefusedError(Exception):
    pass


def _usable(image: Image.Image, decoding: Decoding) -> Image.Image:
    _check_size(image, decoding)
    image.load()
    return _to_rgb(_upright(image))


def _open_header(source: Path | bytes) -> Image.Image:
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise _RefusedError("not a file")
    if source == b"" or (isinstance(source, Path) and source.is_file() and source.stat().st_size == 0):
        raise _RefusedError("the file is empty")
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    # Pillow's own limit is one global for the whole process and smaller than what a caller may allow. It is
    # lifted only while a header is read; `_check_size` takes its place.
    with _header:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=known)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(image: Image.Image, decoding: Decoding) -> None:
    width, height = image.size
    if width * height > decoding.max_megapixels * 1e6:
        raise _RefusedError(
            f"{width}x{height} is {width * height / 1e6:.1f} megapixels, more than the limit of "
            f"{decoding.max_megapixels:g} (a decompression bomb, or raise --max-megapixels)"
        )
    if not width or not height:
        raise _RefusedError(f"{width}x{height} holds no pixel")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:
        # Cameras and editors write broken EXIF often; the pixels are good all the same.
        return image
    return ImageOps.exif_transpose(image) if turned else image


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow clips both kinds of deep grey to 255 when it converts them: nearly all of it would be white.
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16, copy=False)
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, np.float64))).convert("RGB")
    # What lies under transparent pixels is anything, often black; on white it looks as on a page.
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    finite = np.nan_to_num(grey, posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(((finite - low) * scale).round(), np.uint8)
