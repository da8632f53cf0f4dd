"""Images that others made: opened upright, RGB, of bounded size, or refused with a reason."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dragoman import errors
from dragoman.errors import UserError

# Formats that Pillow decodes itself. EPS is left out on purpose: opening one would start Ghostscript.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "TGA", "ICO")
_HEIF = "HEIF"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Limits and threads with which media of others are opened."""

    max_megapixels: float = 100.0
    """Largest image, or frame of a video; larger ones are rejected. One of 100 takes up to 1.6 GB."""
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
LONGEST_SHAPE = 32
"""Length of an image in widths, behind which `shortened` cuts; far beyond any crop that a tower takes."""
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
_PNG = b"\x89PNG\r\n\x1a\n"
_ICON = b"\0\0\1\0"
_LARGEST_ICON = 256
_KEPT = (b"tRNS", b"eXIf")
"""Chunks of a PNG beside the critical ones that change what is seen."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif")
_TILE = (322, 323)
_MOST_TILES = 100_000
"""Pieces of a TIFF: each takes Pillow some microseconds, however small it is."""
_MOST_SCANS = 100
"""Passes of a JPEG over all of its pixels, as libtiff allows; cameras and editors make up to 12."""
_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Neither an FF of the compressed data, nor a restart within it."""
_CODESTREAM = re.compile(b"\xff\x4f\xff\x51.{4}(.{34})", re.DOTALL)
"""Beginning of JPEG 2000 (ISO 15444-1, A.5.1): size and origin of picture and tiles, and components."""
_MOST_PARTS = 20_000
"""Tiles of a JPEG 2000, times its components: each takes its decoder 4 kB before anything is decoded."""
_TAKEN = 16
"""Bytes a pixel that decoding takes at most, all copies together; what takes more counts for more pixels."""
_LEAST_WIDTH = 8
"""Pixels that a row counts for at least: Pillow keeps an address and a whole word for each."""
_STRIP = 1 << 22
"""Pixels of deep grey, and of transparency, that are converted at a time."""
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
        return _of_file(source if isinstance(source, bytes) else Path(source), decoding, at_least)
    except _RefusedError as refusal:
        reason = str(refusal)
    except FileNotFoundError:
        reason = "no such file"
    except UnidentifiedImageError:
        reason = f"not an image of a known format ({', '.join(FORMATS)})"
    except MemoryError:
        reason = "it takes more memory than there is"
    except Exception as error:
        # Pillow's decoders raise nearly anything on hostile bytes; none of it may end a job of thousands.
        reason = f"damaged or truncated ({errors.reason(error)})"
    raise ImageError(str(source) if isinstance(source, str | Path) else "image", reason)


def shortened(image: Image.Image) -> Image.Image:
    """Cut the ends of an image that is far longer than wide, so that its middle is left; others stay.

    For those who scale the shorter edge to a given length: of 1 x 6000 pixels they would make 256 x 1536000.
    """
    width, height = image.size
    # By as many pixels at both ends: what is cut out of the middle afterwards is the same.
    x, y = (max(0, side - LONGEST_SHAPE * min(image.size)) // 2 for side in image.size)
    return image.crop((x, y, width - x, height - y)) if x or y else image


def format_of(content: bytes) -> str:
    """Return Pillow's name of the format of an image that `open_image` opened."""
    with image_header(content) as image:
        return str(image.format)


def image_header(source: bytes | Path) -> Image.Image:
    """Open an image of which nothing is decoded yet: its size as stored, and its tags. Raises ImageError."""
    try:
        try:
            return _open_header(source)
        except Exception:
            if (plain := _without_texts(source)) is None:
                raise
            return _open_header(plain)
    except Exception as error:
        raise ImageError("image", f"its header cannot be read ({errors.reason(error)})") from None


class _RefusedError(Exception):
    pass


def _of_file(source: Path | bytes, decoding: Decoding, at_least: int | None) -> Image.Image:
    try:
        with _open_header(source) as image:
            _check_size(image, decoding)
            _check_pieces(image, source)
            if at_least is not None:
                # The decoder of JPEG leaves out high frequencies; other formats ignore it.
                image.draft(None, (at_least, at_least))
            return _usable(image, decoding)
    except (_RefusedError, FileNotFoundError):
        raise
    except Exception:
        # Text of a PNG may stand behind its pixels, so that the fault shows only when these are decoded.
        plain = _without_texts(source)
        if plain is None:
            raise
        return _of_file(plain, decoding, at_least)


def _without_texts(source: Path | bytes) -> bytes | None:
    """Strip a PNG of chunks that its pixels do without; None for all other files, and for one that has none.

    Pillow refuses a picture for a long compressed text or profile, and for a wrong checksum of any chunk.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    if not content.startswith(_PNG):
        return None
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        chunk = content[at:end]
        # A lower-case first letter marks what a decoder may pass over (PNG, section 5.4).
        is_critical = not name[0] & 0x20
        if is_critical or (name in _KEPT and chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))):
            kept.append(chunk)
        at = end
    plain = b"".join(kept)
    return plain if len(plain) < len(content) else None


def _usable(image: Image.Image, decoding: Decoding) -> Image.Image:
    _check_size(image, decoding)
    image.load()
    return _to_rgb(_upright(image))


def _open_header(source: Path | bytes) -> Image.Image:
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise _RefusedError("not a file")
    if source == b"" or (isinstance(source, Path) and source.is_file() and source.stat().st_size == 0):
        raise _RefusedError("the file is empty")
    _require_small_icon(source)
    Image.init()
    _register_heif()
    known = [name for name in (*FORMATS, _HEIF) if name in Image.OPEN]
    # Pillow's own limit is one global for the whole process and smaller than what a caller may allow. It is
    # lifted only while a header is read; `_check_size` takes its place.
    with _header:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=known)
        except UnidentifiedImageError:
            _require_heif(source)
            raise
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _require_heif(source: Path | bytes) -> None:
    """Say what is missing where a picture is one of HEIF, which telephones write."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            source = file.read(32)
    if source[4:8] == b"ftyp" and source[8:12] in _HEIF_BRANDS and _HEIF not in Image.OPEN:
        raise _RefusedError(
            "a HEIF picture, which needs the package pillow-heif: pip install 'dragoman[heif]'"
        )


@functools.cache
def _register_heif() -> None:
    # Not a dependency: few need it, and its codec has licences and patents of its own.
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def _check_size(image: Image.Image, decoding: Decoding) -> None:
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    if all(name in tags for name in _TILE):
        # A tile of TIFF is decoded whole, however little of it is seen.
        width, height = max(width, int(tags[_TILE[0]])), max(height, int(tags[_TILE[1]]))
    pixels = max(width, _LEAST_WIDTH) * height * max(1.0, _bytes(image) / _TAKEN)
    if pixels > decoding.max_megapixels * 1e6:
        takes = "is" if pixels == width * height else "takes the memory of"
        raise _RefusedError(
            f"{width}x{height} {takes} {pixels / 1e6:.1f} megapixels, more than the limit of "
            f"{decoding.max_megapixels:g} (a decompression bomb, or raise --max-megapixels)"
        )
    if not width or not height:
        raise _RefusedError(f"{width}x{height} holds no pixel")


def _bytes(image: Image.Image) -> int:
    """Bytes a pixel that the decoder of a format holds at once, with what Pillow makes of them."""
    bands = len(image.getbands())
    if image.format == "JPEG2000":
        # Samples in words of four bytes, the same as they are in the file, and a word of Pillow's.
        return bands * (6 if image.mode.startswith("I") else 5) + 4
    # With transparency, copies that are turned and laid on white come while the canvases of these decoders
    # are there.
    return {"WEBP": 21, "AVIF": 17}.get(image.format or "", _TAKEN) if bands == 4 else _TAKEN


def _check_pieces(image: Image.Image, source: Path | bytes) -> None:
    """Refuse a small file whose decoding would go on for hours."""
    tiles = getattr(image, "tile", ())
    if image.format == "TIFF" and len(tiles) > _MOST_TILES:
        raise _RefusedError(f"its pixels lie in {len(tiles):,} pieces, more than {_MOST_TILES:,}")
    if image.format == "JPEG2000":
        content = source if isinstance(source, bytes) else source.read_bytes()
        if (parts := max(map(_parts, _CODESTREAM.findall(content)), default=0)) > _MOST_PARTS:
            raise _RefusedError(f"it has {parts:,} tiles of components, more than {_MOST_PARTS:,}")
    if image.format in ("JPEG", "MPO"):
        content = source if isinstance(source, bytes) else source.read_bytes()
        # Counted whole first, which is quick, and where it matters without what lies behind the picture: the
        # films of telephones hold these bytes by chance.
        if content.count(_SCAN) > _MOST_SCANS and (scans := _scans(content)) > _MOST_SCANS:
            raise _RefusedError(f"it is drawn in {scans:,} passes, more than {_MOST_SCANS}")


def _parts(sizes: bytes) -> int:
    """Count the tiles of a JPEG 2000, each component apart."""
    found: tuple[int, ...] = struct.unpack(">8IH", sizes)
    right, bottom, _, _, width, height, left, top, components = found
    if not width or not height:
        return 0
    return max(0, -(-(right - left) // width)) * max(0, -(-(bottom - top) // height)) * components


def _scans(jpeg: bytes) -> int:
    """Count the passes of the first picture of a JPEG."""
    scans, at = 0, 2
    while (found := _MARKER.search(jpeg, at)) is not None and found[0] != b"\xff\xd9":
        scans += found[0] == _SCAN
        # Most have a length, of what follows the marker.
        bare = found[0] in (b"\xff\x01", b"\xff\xd8")
        at = found.end() + (0 if bare else int.from_bytes(jpeg[found.end() : found.end() + 2], "big"))
    return scans


def _require_small_icon(source: Path | bytes) -> None:
    # Pillow decodes an icon when it is opened, before anybody can ask for its size; the picture within may
    # be larger than the icon says, and is then refused, but only once it is decoded.
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(6)
        if head[:4] != _ICON:
            return
        places = file.read(16 * struct.unpack("<H", head[4:])[0] if len(head) == 6 else 0)
        for at in range(0, len(places) - 15, 16):
            file.seek(struct.unpack_from("<I", places, at + 12)[0])
            if len(inner := file.read(24)) < 24:
                continue
            # Of a bitmap, the picture and its mask stand above each other.
            width, height = struct.unpack(
                *((">II", inner[16:]) if inner[:8] == _PNG else ("<iI", inner[4:12]))
            )
            if max(abs(width), height) > 2 * _LARGEST_ICON:
                raise _RefusedError(f"an icon with a picture of {width}x{height} in it")


def _upright(image: Image.Image) -> Image.Image:
    method = _TURNS.get(orientation(image))
    # Not by ImageOps.exif_transpose, which writes the other tags anew and fails for those that it cannot.
    return image if method is None else image.transpose(method)


def orientation(image: Image.Image) -> int:
    """Read how the picture lies: 1 to 8 of EXIF, 1 where its tags cannot be read or say nothing."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # Cameras and editors write broken EXIF often; the pixels are good all the same.
        return 1


def size_as_seen(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image of `image_header`, once it is upright."""
    width, height = image.size
    # The size of a TIFF is that of the upright image already.
    on_its_side = image.format != "TIFF" and orientation(image) in _ON_ITS_SIDE
    return (height, width) if on_its_side else (width, height)


def _to_rgb(image: Image.Image) -> Image.Image:
    # Pillow clips both kinds of deep grey to 255 when it converts them: nearly all of it would be white. Of
    # PGM it has 16 bits in values of 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _by_strips(image, lambda grey: (grey.astype(np.uint16, copy=False) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _stretched(image)
    # What lies under transparent pixels is anything, often black; on white it looks as on a page.
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield the first row of each strip of an image, and the strip."""
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    found = Image.new("RGB", image.size, "white")
    for top, strip in _strips(image):
        rgba = strip.convert("RGBA")
        found.paste(rgba, (0, top), mask=rgba.getchannel("A"))
    return found


def _by_strips(image: Image.Image, convert: Callable[[NDArray[Any]], NDArray[np.uint8]]) -> Image.Image:
    # Whole, a picture of floats would take eight bytes a pixel in each of several copies.
    found = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        found.paste(Image.fromarray(convert(np.asarray(strip))).convert("RGB"), (0, top))
    return found


def _stretched(image: Image.Image) -> Image.Image:
    def finite(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)

    bounds = [
        (values.min(), values.max()) for values in (finite(np.asarray(strip)) for _, strip in _strips(image))
    ]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    scale = 255 / (high - low) if high > low else 0.0
    return _by_strips(image, lambda strip: ((finite(strip) - low) * scale).round().astype(np.uint8))
