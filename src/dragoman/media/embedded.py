"""Captions and metadata that stand inside pictures, and in the sidecars of editors: XMP, IPTC and EXIF, and
texts of PNG.

Archives and editors write there (IPTC Photo Metadata Standard 2023.2, which names the same fields in XMP and
in IIM; Exif 3.0; PNG, third edition). Bytes of others are read within limits, and what cannot be read is
told, never raised. No pixel is decoded.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

from dragoman import errors
from dragoman.languages import canonical_tag
from dragoman.media.images import ImageError, image_header
from dragoman.media.xmp import LARGEST, XmpError, xmp_properties
from dragoman.records import Value

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

Inside = Literal["sidecar", "XMP", "IPTC", "EXIF", "PNG text"]
LARGEST_FILE = 1 << 30
"""Bytes of a picture that is looked into; of some formats the whole file is read for it."""
LONGEST_CAPTION = 10_000
"""Characters."""
OVERRULED = "captions, as a source that counts more has others in their language"
NAMELESS = "captions that do not say their language: pass --lang"
_MOST = 200
"""Captions, and keywords, of one source."""
_LONGEST_VALUE = 1000
"""Characters of metadata."""
_MOST_CHUNKS = 100_000
"""Chunks of a PNG, each of which may be of twelve bytes."""

_LARGEST_TEXT = 100_000
"""Bytes of a text of a PNG, packed and unpacked, some of which hold programs."""

_PNG = b"\x89PNG\r\n\x1a\n"
_KEYWORD_OF_XMP = b"XML:com.adobe.xmp\0"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_TEXTS_OF_PNG = {b"Description": "", b"Title": "", b"Author": "creator", b"Copyright": "rights"}
"""Keywords of texts that are read: captions, and names of metadata."""
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
"""Beginning of a part of a packet that is too large for one segment of JPEG (XMP, part 3, 1.1.3.1)."""
_PART = struct.Struct(f">{len(_EXTENSION) + 32}sII")
"""Head of such a part: its beginning with 32 characters that name the packet, the length of the packet, and
the place of the part in it, in bytes."""
_TAGS = {"description": 0x010E, "title": 0x9C9B, "comment": 0x9C9C, "keywords": 0x9C9E}
_EXIF, _GPS, _TAKEN, _STORED, _COMMENT = 0x8769, 0x8825, 0x9003, 0x0132, 0x9286
_DAY = re.compile(r"(1\d\d\d|20\d\d)[:-]?(0[1-9]|1[0-2])[:-]?(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR = re.compile(r"(1\d\d\d|20\d\d)(?!\d)")
_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d{1,10})?)(?:,(\d{1,2}(?:\.\d{1,10})?))?([NSEW])")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# Words that cameras, telephones and programs put where a caption belongs.
_BOILERPLATE = re.compile(
    r"(?:(?:konica )?minolta|olympus|pentax|samsung|sanyo|casio|kodak)?\s*digital (?:still )?camera"
    r"|sony dsc|kodak .{0,40}camera|samsung|exif[ _]jpeg[ _]picture|jpeg picture"
    r"|(?:created|made|edited|processed) (?:with|by|using) .{1,40}|lead technologies.{0,40}"
    r"|charset=\w+|binary comment|(?:user )?comments?|ascii|unicode|screen ?shot|default|untitled|no title"
    r"|image description|description|title|caption|headline|null|none|n/?a|undefined|unknown|test"
    r"|dav|cof|mde|hdr|rbt|sdr|ptr|edf|oznor|hdrpl|(?:dav|cof|hdr|rbt|sdr|ptr|edf)_\w+"
    r"|[a-z]+://\S+|\{.*\}"
    r"|(?:img|dsc|dscn|dscf|p|pict|dji|pxl|gopr|sam|imgp|scan|image|photo|foto|mvimg)[ _-]?\d[\w-]*",
    re.IGNORECASE | re.DOTALL,
)
_FILE_NAME = re.compile(r"\S+\.(?:jpe?g|tiff?|png|webp|gif|bmp|heic|avif|psd|cr2|nef|arw|dng)", re.IGNORECASE)
_DESCRIPTIONS = (
    "dc:description",
    "iptc:AltTextAccessibility",
    "iptc:ExtDescrAccessibility",
    "photoshop:Headline",
    "dc:title",
    "tiff:ImageDescription",
    "exif:UserComment",
)
"""Properties of XMP that hold captions, descriptions before titles."""
_XMP_TEXTS = {
    "creator": "dc:creator",
    "credit": "photoshop:Credit",
    "rights": "dc:rights",
    "location": "iptc:Location",
    "city": "photoshop:City",
    "state": "photoshop:State",
    "country": "photoshop:Country",
}
_XMP_DATES = ("photoshop:DateCreated", "exif:DateTimeOriginal")
_IPTC_CAPTIONS = ((2, 120), (2, 105), (2, 5))
_IPTC_TEXTS = {
    "creator": (2, 80),
    "credit": (2, 110),
    "rights": (2, 116),
    "location": (2, 92),
    "city": (2, 90),
    "state": (2, 95),
    "country": (2, 101),
}
_EXIF_TEXTS = {"creator": 0x013B, "rights": 0x8298}


class InsideCaption(NamedTuple):
    """A caption from inside a picture or from its sidecar."""

    source: Inside
    lang: str | None
    """Canonical tag; None where none is said."""
    text: str


class InsideFault(NamedTuple):
    """A source that cannot be read, or not whole."""

    source: Inside
    name: str
    """File that holds it."""
    what: str
    """The reason, from its verb on."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Captions and metadata of one picture; those of a source that counts more stand first."""

    captions: tuple[InsideCaption, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)
    """Texts, but for `keywords`, a tuple of texts, `latitude` and `longitude` in degrees, and `year`."""
    faults: tuple[InsideFault, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.captions or self.metadata or self.faults)

    def before(self, other: Embedded) -> Embedded:
        """Join with one that counts less."""
        return Embedded(
            captions=self.captions + other.captions,
            metadata={**other.metadata, **self.metadata},
            faults=self.faults + other.faults,
        )


NOTHING = Embedded()


def read_embedded(file: Path) -> Embedded:
    """Read what a picture says of itself: XMP before IPTC before EXIF. Nothing of what is no picture."""
    try:
        # To read from a pipe would wait for ever.
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return NOTHING
        with file.open("rb") as opened:
            head = opened.read(12)
            if head.startswith(_PNG):
                xmp, exif, texts = _chunks(opened)
                found = _joined(file.name, lambda: _text_chunk(xmp), lambda: None, lambda: _tags(exif))
                for kind, chunk in sorted(texts, key=_rank):
                    found = found.before(
                        _guarded("PNG text", file.name, partial(_of_text, kind, chunk, file.name))
                    )
                return found
        # Of other formats, Pillow makes much before it knows that nothing is there.
        is_other = head[:4] in (b"II*\0", b"MM\0*") or (head[:4], head[8:]) == (b"RIFF", b"WEBP")
        if not (is_other or head[:3] == b"\xff\xd8\xff" or head[4:8] == b"ftyp"):
            return NOTHING
        from PIL.IptcImagePlugin import getiptcinfo

        with image_header(file) as image:
            packet = image.info.get("xmp")
            # Of JPEG alone.
            parts = [part for _, part in getattr(image, "applist", ()) if part.startswith(_EXTENSION)]
            # It asks for the type of the image, of which others have no IPTC.
            opened_as: Any = image
            return _joined(file.name, lambda: packet, lambda: getiptcinfo(opened_as), image.getexif, parts)
    except (ImageError, OSError, MemoryError):
        # Told by those who need its pixels.
        return NOTHING


def read_sidecar(file: Path) -> Embedded:
    """Read a file of XMP that lies beside a picture."""

    def read() -> Embedded:
        if not file.is_file():
            raise XmpError("is no file that can be read")
        if file.stat().st_size > LARGEST:
            raise XmpError(f"is larger than {LARGEST:,} bytes")
        return _of_xmp("sidecar", file.read_bytes(), file.name)

    return _guarded("sidecar", file.name, read)


def chosen_captions(
    captions: Iterable[InsideCaption], taken: Mapping[str | None, Collection[str]], lang: str | None
) -> tuple[list[InsideCaption], Counter[tuple[Inside, str]]]:
    """Choose captions in languages that are open: in each, those of the first source that has some.

    `taken` has the `compared` captions that count more, by language; `lang` is the language of captions that
    say none. Returns what is chosen, each with a language, source by source and language by language, and
    counts by source and rule: "" for those chosen, OVERRULED for others in a language that is not open, and
    NAMELESS. What stands there a second time is not counted.
    """
    before = {tag: set(texts) for tag, texts in taken.items()}
    chosen: list[InsideCaption] = []
    counts: Counter[tuple[Inside, str]] = Counter()
    for source, group in groupby(captions, key=lambda one: one.source):
        found: dict[str, dict[str, InsideCaption]] = {}
        # Those that say their language first: what says none is often one of them again.
        several = sorted(group, key=lambda one: one.lang is None)
        named = {one.lang for one in several}
        for one in several:
            tag, text = one.lang or lang, compared(one.text)
            tags = {tag} if one.lang is not None else {*before, *found}
            if any(text in before.get(each, ()) or text in found.get(each or "", ()) for each in tags):
                continue
            if tag is None:
                counts[source, NAMELESS] += 1
            elif tag in before or (one.lang is None and tag in named):
                counts[source, OVERRULED] += 1
            else:
                found.setdefault(tag, {})[text] = one._replace(lang=tag)
                counts[source, ""] += 1
        for tag, kept in found.items():
            before[tag] = set(kept)
            chosen += kept.values()
    return chosen, counts


def day_of(text: str) -> dict[str, Value]:
    """Read `year` and `date` where a text begins with them, in the order of EXIF or ISO 8601."""
    if day := _DAY.match(text):
        return {"year": int(day[1]), "date": "-".join(day.groups())}
    return {"year": int(year[1])} if (year := _YEAR.match(text)) else {}


def taken(image: Image) -> str:
    """Tell when a picture was taken, as EXIF has it; empty where it says nothing, or cannot be read."""
    try:
        return _moment(image.getexif())
    except Exception:
        # Cameras and editors write broken EXIF often.
        return ""


def _moment(tags: Exif) -> str:
    return str(tags.get_ifd(_EXIF).get(_TAKEN) or tags.get(_STORED) or "")


def _joined(
    name: str,
    xmp: Callable[[], object],
    iptc: Callable[[], Any],
    exif: Callable[[], Exif | None],
    parts: Sequence[bytes] = (),
) -> Embedded:
    """Read the blocks of the picture `name`, each for itself; `parts` are those of an extension of XMP."""
    return (
        _guarded("XMP", name, lambda: _of_xmp("XMP", xmp(), name))
        .before(_guarded("XMP", name, lambda: _of_xmp("XMP", _extension(xmp(), parts), name)))
        .before(_guarded("IPTC", name, lambda: _of_iptc(iptc() or {}, name)))
        .before(_guarded("EXIF", name, lambda: _of_exif(exif(), name)))
        .before(_guarded("EXIF", name, lambda: _of_places(exif())))
    )


def _guarded(source: Inside, name: str, read: Callable[[], Embedded]) -> Embedded:
    try:
        return read()
    except XmpError as error:
        reason = str(error)
    except Exception as error:
        # Pillow's readers raise nearly anything on hostile bytes.
        reason = f"cannot be read ({errors.reason(error)})"
    return Embedded(faults=(InsideFault(source, name, reason),))


def _chunks(png: BinaryIO) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """Find the packet of XMP, the EXIF and the texts of a PNG, wherever they stand: ExifTool writes them at
    the end, which Pillow reads after the pixels alone."""
    xmp = exif = b""
    texts: list[tuple[bytes, bytes]] = []
    png.seek(len(_PNG))
    for _ in range(_MOST_CHUNKS):
        head = png.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length, place = int.from_bytes(head[:4], "big"), png.tell()
        if head[4:] == b"iTXt" and png.read(len(_KEYWORD_OF_XMP)) == _KEYWORD_OF_XMP:
            xmp = xmp or png.read(min(length, 2 * LARGEST))[: length - len(_KEYWORD_OF_XMP)]
        elif head[4:] in _TEXT_CHUNKS and len(texts) < _MOST:
            png.seek(place)
            # One byte more than is allowed tells that there is more.
            if (chunk := png.read(min(length, _LARGEST_TEXT + 1))).partition(b"\0")[0] in _TEXTS_OF_PNG:
                texts.append((head[4:], chunk))
        elif head[4:] == b"eXIf":
            exif = exif or png.read(min(length, LARGEST))
        png.seek(place + length + 4)
    return xmp, exif, texts


def _rank(text: tuple[bytes, bytes]) -> int:
    return list(_TEXTS_OF_PNG).index(text[1].partition(b"\0")[0])


def _of_text(kind: bytes, chunk: bytes, name: str) -> Embedded:
    """Read a text of a PNG by its keyword (section 11.3.3): Latin-1 by the book, and often UTF-8, but for
    international ones, which are UTF-8 and say their language."""
    keyword, _, rest = chunk.partition(b"\0")
    lang, is_packed = b"", kind == b"zTXt"
    if kind == b"iTXt":
        is_packed = rest[:1] == b"\1"
        lang, _, rest = rest[2:].partition(b"\0")
        rest = rest.partition(b"\0")[2]
    elif is_packed:
        rest = rest[1:]
    if is_packed:
        rest = zlib.decompressobj().decompress(rest, _LARGEST_TEXT + 1)
    field, text = _TEXTS_OF_PNG[keyword], _decoded(rest)
    if len(chunk) > _LARGEST_TEXT or len(rest) > _LARGEST_TEXT:
        raise ValueError(f"{keyword.decode()} has more than {_LARGEST_TEXT:,} bytes")
    if field:
        return _embedded("PNG text", name, (), _values({field: text}, ()))
    return _embedded("PNG text", name, [(lang.decode("latin-1") or None, text)], {})


def _extension(packet: object, parts: Sequence[bytes]) -> bytes:
    """Join the parts of the packet that a packet names as its extension; empty where there are none."""
    if not parts or not isinstance(packet, bytes):
        return b""
    try:
        name = next((one.text for one in xmp_properties(packet).get("note:HasExtendedXMP", ())), "")
    except XmpError:
        # Told of the packet itself.
        return b""
    own: list[tuple[int, int, bytes]] = []
    for part in parts:
        of, length, at = _PART.unpack_from(part.ljust(_PART.size, b"\0"))
        if of == _EXTENSION + name.encode():
            own.append((at, length, part[_PART.size :]))
    whole = bytearray()
    for at, _, content in sorted(own):
        if at + len(content) > LARGEST:
            raise XmpError(f"has an extension that is larger than {LARGEST:,} bytes")
        if at <= len(whole):
            whole[at : at + len(content)] = content
    if own and len(whole) != own[0][1]:
        raise XmpError(f"has an extension of which {len(whole):,} of {own[0][1]:,} bytes are there")
    return bytes(whole)


def _text_chunk(chunk: bytes) -> bytes:
    """Unpack an international text, behind its keyword (PNG, section 11.3.3.4)."""
    if not chunk:
        return b""
    is_packed, (_, _, text) = chunk[:1] == b"\1", chunk[2:].split(b"\0", 2)
    # One byte more than is allowed tells that there is more.
    return zlib.decompressobj().decompress(text, LARGEST + 1) if is_packed else text


def _tags(block: bytes) -> Exif | None:
    if not block:
        return None
    from PIL.Image import Exif

    tags = Exif()
    tags.load(b"Exif\0\0" + block.removeprefix(b"Exif\0\0"))
    return tags


def _of_xmp(source: Inside, packet: object, name: str) -> Embedded:
    if not packet:
        return NOTHING
    said = xmp_properties(packet.encode() if isinstance(packet, str) else bytes(packet))  # type: ignore[call-overload]
    texts = [(one.lang, one.text) for key in _DESCRIPTIONS for one in said.get(key, ())]

    def joined(key: str) -> str:
        return "; ".join(dict.fromkeys(one.text for one in said.get(key, ())))

    # Of a text in several languages the first, which is the one that is shown where no language is known.
    values = {
        key: joined(name) if key == "creator" else said[name][0].text
        for key, name in _XMP_TEXTS.items()
        if name in said
    }
    when = next((day for key in _XMP_DATES if (day := day_of(joined(key)))), {})
    places = [_angle(joined(f"exif:GPS{one}")) for one in ("Latitude", "Longitude")]
    keywords = [one.text for one in said.get("dc:subject", ())]
    return _embedded(source, name, texts, _values(values, keywords) | when | _place(*places))


def _of_iptc(said: Mapping[tuple[int, int], Any], name: str) -> Embedded:
    def texts(key: tuple[int, int]) -> list[str]:
        found = said.get(key)
        several = found if isinstance(found, list) else [found]
        return [_decoded(one) for one in several if one]

    values = {key: "; ".join(texts(place)) for key, place in _IPTC_TEXTS.items()}
    captions = ((None, text) for key in _IPTC_CAPTIONS for text in texts(key))
    when = day_of("".join(texts((2, 55))[:1]))
    return _embedded("IPTC", name, captions, _values(values, texts((2, 25))) | when)


def _of_exif(tags: Exif | None, name: str) -> Embedded:
    if not tags:
        return NOTHING
    details = tags.get_ifd(_EXIF)
    captions = [
        _of_tag(tags.get(_TAGS["description"])),
        _wide(tags.get(_TAGS["comment"])),
        _commented(details.get(_COMMENT), tags.endian or "<"),
        _wide(tags.get(_TAGS["title"])),
    ]
    values = {key: _of_tag(tags.get(tag)) for key, tag in _EXIF_TEXTS.items()}
    keywords = _wide(tags.get(_TAGS["keywords"])).split(";")
    return _embedded(
        "EXIF", name, ((None, text) for text in captions), _values(values, keywords) | day_of(_moment(tags))
    )


def _of_places(tags: Exif | None) -> Embedded:
    place = tags.get_ifd(_GPS) if tags else {}
    signs = [-1 if _of_tag(place.get(at)).strip().upper() in ("S", "W") else 1 for at in (1, 3)]
    angles = [_sexagesimal(place.get(at)) for at in (2, 4)]
    signed = [None if angle is None else sign * angle for sign, angle in zip(signs, angles, strict=True)]
    return Embedded(metadata=_place(*signed))


def _embedded(
    source: Inside, name: str, texts: Iterable[tuple[str | None, str]], metadata: Mapping[str, Value]
) -> Embedded:
    """Take the captions that say something, each once a language."""
    kept: dict[tuple[str | None, str], InsideCaption] = {}
    faults = []
    for lang, text in texts:
        text = text.partition("\0")[0].strip()
        if _says_nothing(text, name):
            continue
        if len(text) > LONGEST_CAPTION:
            faults.append(f"holds a caption of {len(text):,} characters, more than {LONGEST_CAPTION:,}")
            continue
        try:
            tag = None if lang is None else canonical_tag(lang)
        except ValueError:
            faults.append(f"holds a caption in {str(lang)[:40]!r}, which is no tag of a language")
            continue
        kept.setdefault((tag, compared(text)), InsideCaption(source, tag, text))
    if len(kept) > _MOST:
        faults.append(f"holds {len(kept):,} captions, more than {_MOST}")
    told = tuple(InsideFault(source, name, fault) for fault in faults[:_MOST])
    return Embedded(captions=tuple(kept.values())[:_MOST], metadata=metadata, faults=told)


def compared(text: str) -> str:
    """Give a caption as it is compared with others: without breaks, case, and a full stop at its end."""
    return " ".join(text.split()).casefold().rstrip(".")


def _says_nothing(text: str, name: str) -> bool:
    """Tell whether a text is none of a person about the picture `name`."""
    if not any(map(str.isalpha, text)) or _BOILERPLATE.fullmatch(text) or _FILE_NAME.fullmatch(text):
        return True
    # A name of several words may well be what the picture shows.
    stem = name.rpartition(".")[0]
    return text.casefold() == name.casefold() or (text.casefold() == stem.casefold() and " " not in text)


def _values(texts: Mapping[str, str], keywords: Iterable[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, text in texts.items():
        if plain := _value(text):
            found[name] = plain
    words = tuple(dict.fromkeys(filter(None, map(_value, keywords))))[:_MOST]
    return found | ({"keywords": words} if words else {})


def _value(text: str) -> str:
    """Give a text as metadata; empty where it is longer than any that was meant as such."""
    plain = " ".join(_UNSAFE.sub(" ", text.partition("\0")[0]).split())
    return plain if len(plain) <= _LONGEST_VALUE else ""


def _place(latitude: float | None, longitude: float | None) -> dict[str, Value]:
    """Give a place in degrees, north and east positive."""
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return {}
    # A receiver without a signal says 0 and 0, a spot in the sea off Africa.
    if latitude == longitude == 0:
        return {}
    return {"latitude": round(latitude, 6), "longitude": round(longitude, 6)}


def _angle(text: str) -> float | None:
    """Read `38,42,30N` or `38,42.5N` (XMP, part 2, section 1.2.7.4)."""
    found = _DEGREES.fullmatch(text)
    if found is None:
        return None
    degrees = int(found[1]) + float(found[2]) / 60 + float(found[3] or 0) / 3600
    return -degrees if found[4] in "SW" else degrees


def _sexagesimal(parts: object) -> float | None:
    """Read degrees, minutes and seconds, of which the last may be missing."""
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
        return None
    degrees = sum(float(part) / 60**place for place, part in enumerate(parts))
    return degrees if math.isfinite(degrees) else None


def _decoded(raw: object) -> str:
    """Decode a text that says its encoding wrongly or not at all (IIM 4.2, 1:90): what reads as UTF-8 is."""
    if not isinstance(raw, bytes):
        return ""
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _of_tag(value: object) -> str:
    """Read a text of EXIF, which is ASCII by the book and in UTF-8 by most who write more."""
    if isinstance(value, str):
        try:
            # Pillow reads bytes as characters.
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            return str(value)
    return _decoded(value)


def _wide(value: object) -> str:
    """Read a text of Windows, in UTF-16."""
    if isinstance(value, tuple) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        value = bytes(value)
    return value.decode("utf-16-le", "replace").partition("\0")[0] if isinstance(value, bytes) else ""


def _commented(value: object, order: str) -> str:
    """Read a comment of EXIF, of which the first eight bytes name the encoding."""
    if not isinstance(value, bytes):
        return _of_tag(value)
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return text.decode("utf-16", "replace")
        # The order of bytes is that of the file by the book, and often not; of most scripts, the upper byte
        # of nearly all characters is the same.
        upper = [len(set(text[at::2])) for at in (0, 1)]
        big = upper[0] < upper[1] if upper[0] != upper[1] else order == ">"
        return text.decode("utf-16-be" if big else "utf-16-le", "replace")
    if code.startswith(b"JIS"):
        return text.decode("iso2022_jp", "replace")
    return _decoded(text if code in (b"ASCII\0\0\0", bytes(8)) else value)
