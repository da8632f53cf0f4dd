"""Pictures with metadata inside, written byte by byte as the standards say."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

XMP = (
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' "
    "xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' "
    "xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:note='http://ns.adobe.com/xmp/note/' xmlns:iptc='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/'>"
    "<rdf:Description rdf:about='' {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>"
)


EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"


def packet(elements: str = "", attributes: str = "") -> bytes:
    """A packet of XMP, padded as containers have it."""
    begin, end = "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>", "<?xpacket end='w'?>"
    return f"{begin}{XMP.format(elements=elements, attributes=attributes)}{' ' * 20}{end}".encode()


def alt(name: str, **texts: str) -> str:
    """A text in languages; `x_default` is spelled x-default."""
    rows = "".join(
        f"<rdf:li xml:lang='{tag.replace('_', '-')}'>{text}</rdf:li>" for tag, text in texts.items()
    )
    return f"<{name}><rdf:Alt>{rows}</rdf:Alt></{name}>"


def bag(name: str, *texts: str) -> str:
    """A list without order."""
    return f"<{name}><rdf:Bag>{''.join(f'<rdf:li>{text}</rdf:li>' for text in texts)}</rdf:Bag></{name}>"


def iim(*fields: tuple[int, int, bytes]) -> bytes:
    """Datasets of IPTC-IIM (4.2, section 1.6): marker, record, number, length, value."""
    return b"".join(struct.pack(">BBBH", 0x1C, *place, len(text)) + text for *place, text in fields)


def jpeg(
    *,
    xmp: bytes = b"",
    iptc: bytes = b"",
    exif: Image.Exif | None = None,
    colour: str = "red",
    more: bytes = b"",
) -> bytes:
    """A JPEG of 8 x 6 pixels with these blocks; `more` are segments behind that of XMP."""
    file = io.BytesIO()
    options: dict[str, Any] = {} if exif is None else {"exif": exif}
    Image.new("RGB", (8, 6), colour).save(file, "JPEG", **options)
    segments = b""
    if xmp:
        segments += segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    segments += more
    if iptc:
        resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
        segments += segment(0xED, b"Photoshop 3.0\0" + resource)
    plain = file.getvalue()
    # Behind the EXIF, which stands first by the book.
    at = 2 + (2 + int.from_bytes(plain[4:6], "big") if exif is not None else 0)
    return plain[:at] + segments + plain[at:]


def extended(whole: bytes, size: int, name: bytes = b"") -> list[bytes]:
    """Segments of a packet that is too large for one (XMP, part 3, section 1.1.3.1), of `size` bytes each."""
    name = name or hashlib.md5(whole).hexdigest().upper().encode()
    return [
        segment(
            0xE1,
            EXTENSION + name + struct.pack(">II", len(whole), at) + whole[at : at + size],
        )
        for at in range(0, len(whole), size)
    ]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(xmp: bytes = b"", *more: bytes, packed: bool = False, late: bool = False) -> bytes:
    """A PNG with a packet, and more chunks, before its pixels, or `late` behind them."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, "PNG")
    text = zlib.compress(xmp) if packed else xmp
    itxt = chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([packed]) + b"\0\0\0" + text) if xmp else b""
    itxt += b"".join(more)
    plain = file.getvalue()
    at = plain.index(b"IEND" if late else b"IDAT") - 4
    return plain[:at] + itxt + plain[at:]


def write(place: Path, files: dict[str, bytes | str]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return place
