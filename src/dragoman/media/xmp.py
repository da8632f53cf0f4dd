"""Properties of an XMP packet (ISO 16684-1:2019), in pictures and in sidecars: texts, in languages.

A packet is RDF in XML that others wrote: nothing of it is expanded or fetched, and what is too deep or too
long is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

LARGEST = 16_000_000
"""Bytes. Editors keep their masks and histories in packets, which may take some millions."""
_DEEPEST = 100
_MOST = 200_000
"""Elements."""
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "iptc",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xmp/note/": "note",
}
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_VALUE = f"{_RDF}value"
_LANG = "http://www.w3.org/XML/1998/namespace lang"
_LISTS = (f"{_RDF}Alt", f"{_RDF}Bag", f"{_RDF}Seq")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class XmpError(ValueError):
    """A packet that cannot be read; the message says why, from its verb on."""


class XmpText(NamedTuple):
    """A text of a property."""

    lang: str | None
    """Words that stand there, which need not be a tag; None where none is said, or `x-default`."""
    text: str


def xmp_properties(packet: bytes) -> Mapping[str, list[XmpText]]:
    """Read the texts of all known properties, by names such as `dc:title`, in their order.

    Both forms of RDF are read, elements and attributes. A text that is `x-default` is left out where it
    stands there in its own language too. Raises XmpError.
    """
    found: dict[str, list[XmpText]] = {}
    for rdf in _parsed(packet).iter(f"{_RDF}RDF"):
        for node in rdf:
            for name, value in node.attrib.items():
                if (key := _key(name)) is not None:
                    found.setdefault(key, []).append(XmpText(None, value.strip()))
            for element in node:
                if (key := _key(element.tag)) is not None:
                    found.setdefault(key, []).extend(_texts(element))
    return {name: kept for name, texts in found.items() if (kept := _without_copies(texts))}


def _parsed(packet: bytes) -> Element:
    if len(packet) > LARGEST:
        raise XmpError(f"is larger than {LARGEST:,} bytes")
    builder, depth, count = TreeBuilder(), 0, 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _DEEPEST or count > _MOST:
            raise XmpError(f"is nested deeper than {_DEEPEST}, or has more than {_MOST:,} elements")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def doctype(*of: object) -> None:
        # Where entities would be declared, which can make gigabytes of a few lines, and name other files.
        raise XmpError("declares a document type, which XMP has not")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        # Containers pad packets, which is no XML.
        parser.Parse(packet if packet[:2] in _UTF_16 else packet.strip(b"\0 \t\r\n"), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, XmpError):
            raise
        raise XmpError(f"is no XML ({error})") from None
    return builder.close()


def _key(name: str) -> str | None:
    space, _, local = name.rpartition(" ")
    return f"{_PREFIXES[space]}:{local}" if space in _PREFIXES else None


def _texts(element: Element) -> Iterator[XmpText]:
    """Yield the one text of a property, or those of its list."""
    for inner in element:
        if inner.tag in _LISTS:
            for one in inner:
                yield from _plain(one)
            return
    yield from _plain(element)


def _plain(element: Element) -> Iterator[XmpText]:
    lang = element.get(_LANG)
    # A text with qualifiers of its own.
    values = (inner.text for inner in element if inner.tag == _VALUE)
    text = element.get(_VALUE) or next(values, None) or element.text or ""
    if text.strip():
        yield XmpText(None if lang is None or lang.lower() == "x-default" else lang, text.strip())


def _without_copies(texts: list[XmpText]) -> list[XmpText]:
    named = {one.text for one in texts if one.lang is not None}
    return [
        one for one in dict.fromkeys(texts) if one.text and (one.lang is not None or one.text not in named)
    ]
