"""Captions and metadata inside pictures and in sidecars: what is read, which source counts, what is told."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import tracemalloc
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures_of_archives import EXTENSION, alt, bag, chunk, extended, iim, jpeg, packet, png, segment, write
from PIL import Image, features

from dragoman.corpus import BuildOptions, build_folder
from dragoman.index import IndexOptions, index_media
from dragoman.index.folder import open_generation
from dragoman.media import folder
from dragoman.media.embedded import (
    NAMELESS,
    OVERRULED,
    Embedded,
    InsideCaption,
    chosen_captions,
    read_embedded,
)
from dragoman.media.folder import MediaFolder, NoteError
from dragoman.media.xmp import XmpError, XmpText, xmp_properties

IN_BOTH = alt("dc:description", x_default="Um cão", pt="Um cão", en="A dog")


def said(file: Path) -> list[tuple[str, str | None, str]]:
    return [tuple(one) for one in read_embedded(file).captions]


def captions(media: MediaFolder, item_id: str, lang: str | None = "en") -> list[tuple[str, str | None, str]]:
    return [(t.origin, t.lang, line.text) for t in media.texts(item_id, lang) for line in t.lines()]


def exif(tags: dict[int, object], details: dict[int, object] | None = None) -> Image.Exif:
    found = Image.Exif()
    found.update(tags)
    if details:
        found._ifds[0x8769] = dict(details)
    return found


def test_a_picture_tells_captions_and_metadata_of_xmp_iptc_and_exif(tmp_path: Path) -> None:
    xmp = packet(
        IN_BOTH
        + alt("dc:title", en="Dogs")
        + bag("dc:subject", "animal", "beach", "animal")
        + "<dc:creator><rdf:Seq><rdf:li>Ana</rdf:li><rdf:li>Rui</rdf:li></rdf:Seq></dc:creator>",
        "photoshop:City='Porto' photoshop:DateCreated='1962-07' exif:GPSLatitude='41,9.5N' "
        "exif:GPSLongitude='8,36,36W'",
    )
    iptc = iim(
        (1, 90, b"\x1b%G"),
        (2, 5, b"A title"),
        (2, 120, "Cães a correr".encode()),
        (2, 25, b"sea"),
        (2, 90, b"Lisboa"),
        (2, 101, b"Portugal"),
        (2, 110, b"Archive"),
        (2, 55, b"19620714"),
    )
    tags = exif({0x010E: "Seen by a camera", 0x8298: "(c) 1962"}, {0x9003: "1999:12:31 23:59:59"})
    tags.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "W", 4: (4.0, 0.0, 0.0)})
    (file,) = write(tmp_path, {"a.jpg": jpeg(xmp=xmp, iptc=iptc, exif=tags)}).iterdir()
    found = read_embedded(file)
    assert [tuple(one) for one in found.captions] == [
        ("XMP", "pt", "Um cão"),
        ("XMP", "en", "A dog"),
        ("XMP", "en", "Dogs"),
        ("IPTC", None, "Cães a correr"),
        ("IPTC", None, "A title"),
        ("EXIF", None, "Seen by a camera"),
    ]
    assert found.faults == ()
    assert found.metadata == {
        "creator": "Ana; Rui",
        "keywords": ("animal", "beach"),
        "city": "Porto",
        "country": "Portugal",
        "credit": "Archive",
        "rights": "(c) 1962",
        # 41 + 9.5/60; -(8 + 36/60 + 36/3600).
        "latitude": 41.158333,
        "longitude": -8.61,
        "year": 1962,
        "date": "1962-07-14",
    }


@pytest.mark.parametrize("kind", ["jpg", "png", "late.png", "packed.png", "webp", "tif"])
def test_every_container_holds_xmp(kind: str, tmp_path: Path) -> None:
    xmp = packet(IN_BOTH)
    file, image = io.BytesIO(), Image.new("RGB", (8, 6), "red")
    if kind == "jpg":
        file = io.BytesIO(jpeg(xmp=xmp))
    elif kind.endswith("png"):
        file = io.BytesIO(png(xmp, packed="packed" in kind, late="late" in kind))
    elif kind == "webp":
        image.save(file, "WEBP", xmp=xmp)
    else:
        image.save(file, "TIFF", tiffinfo={700: xmp, 270: "A dog from a scanner"})
    write(tmp_path, {f"a.{kind}": file.getvalue()})
    expected = [("XMP", "pt", "Um cão"), ("XMP", "en", "A dog")]
    more = [("EXIF", None, "A dog from a scanner")] if kind == "tif" else []
    assert said(tmp_path / f"a.{kind}") == expected + more


@pytest.mark.parametrize("kind", ["avif", "heic"])
def test_pictures_of_telephones_tell_all_that_others_do(kind: str, tmp_path: Path) -> None:
    """With xmp, exif and place, as the libraries that write them put them."""
    write(tmp_path, {f"a.{kind}": of_telephone(kind)})
    found = read_embedded(tmp_path / f"a.{kind}")
    assert [tuple(one) for one in found.captions] == [
        ("XMP", "pt", "Um cão"),
        ("XMP", "en", "A dog"),
        ("EXIF", None, "Seen by a camera"),
    ]
    assert found.metadata == {
        "keywords": ("dog",),
        "city": "Porto",
        "rights": "(c) 1999",
        # 1 + 2/60 + 3/3600.
        "latitude": 1.034167,
        "longitude": -4.0,
        "year": 1999,
        "date": "1999-12-31",
    }
    assert found.faults == ()


def of_telephone(kind: str) -> bytes:
    """A picture by libavif or libheif, which codecs need more than a few pixels for."""
    if kind == "heic":
        pytest.importorskip("pillow_heif", reason="an extra").register_heif_opener()
    elif not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    tags = exif({0x010E: "Seen by a camera", 0x8298: "(c) 1999"}, {0x9003: "1999:12:31 23:59:59"})
    tags.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "W", 4: (4.0, 0.0, 0.0)})
    file, xmp = io.BytesIO(), packet(IN_BOTH + bag("dc:subject", "dog"), "photoshop:City='Porto'")
    form = {"avif": "AVIF", "heic": "HEIF"}[kind]
    Image.new("RGB", (64, 48), "red").save(file, form, xmp=xmp, exif=tags.tobytes())
    return file.getvalue()


MORE = packet(alt("dc:description", de="Ein Hund") + bag("dc:subject", "beach"), "photoshop:City='Faro'")
NAMED = f"note:HasExtendedXMP='{hashlib.md5(MORE).hexdigest().upper()}'"


def test_a_packet_too_large_for_one_segment_goes_on_in_others(tmp_path: Path) -> None:
    main = packet(alt("dc:description", en="A dog"), f"{NAMED} photoshop:City='Porto'")
    parts = extended(MORE, 100)
    assert len(parts) > 5
    for name, more in {
        "ordered": parts,
        "shuffled": parts[::-1],
        "twice": [*parts, *parts[:2]],
        "beside another": [*extended(b"<x/>" * 50, 100), *parts],
    }.items():
        write(tmp_path, {f"{name}.jpg": jpeg(xmp=main, more=b"".join(more))})
        found = read_embedded(tmp_path / f"{name}.jpg")
        texts = [("XMP", "en", "A dog"), ("XMP", "de", "Ein Hund")]
        assert [tuple(one) for one in found.captions] == texts, name
        # The packet itself counts more.
        assert (found.metadata, found.faults) == ({"keywords": ("beach",), "city": "Porto"}, ()), name
    # Of another picture, and so of none: editors leave them behind.
    plain = packet(alt("dc:description", en="A dog"))
    write(tmp_path, {"stale.jpg": jpeg(xmp=plain, more=b"".join(parts))})
    found = read_embedded(tmp_path / "stale.jpg")
    assert ([one.text for one in found.captions], found.faults) == (["A dog"], ())
    write(tmp_path, {"lost.jpg": jpeg(xmp=main)})
    assert read_embedded(tmp_path / "lost.jpg").faults == ()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (extended(MORE, 100)[1:], f"has an extension of which 0 of {len(MORE):,} bytes are there"),
        (extended(MORE, 100)[:2], f"has an extension of which 200 of {len(MORE):,} bytes are there"),
        (
            [
                segment(
                    0xE1,
                    b"http://ns.adobe.com/xmp/extension/\0" + NAMED[-33:-1].encode() + bytes(4) + b"\xff" * 5,
                )
            ],
            "has an extension that is larger than 16,000,000 bytes",
        ),
        (extended(b"<x>" * 99, 100, NAMED[-33:-1].encode()), "is no XML"),
        ([segment(0xE1, EXTENSION + b"short")], ""),
    ],
)
def test_an_extension_that_is_not_whole_is_told_and_costs_nothing_else(
    more: list[bytes], what: str, tmp_path: Path
) -> None:
    main = packet(alt("dc:description", en="A dog"), NAMED)
    write(tmp_path, {"a.jpg": jpeg(xmp=main, more=b"".join(more))})
    found = read_embedded(tmp_path / "a.jpg")
    assert [one.text for one in found.captions] == ["A dog"]
    assert [one.what.partition(" (")[0] for one in found.faults] == ([what] if what else [])


def itxt(keyword: bytes, text: bytes, *, lang: bytes = b"", packed: bool = False) -> bytes:
    head = keyword + b"\0" + bytes([packed, 0]) + lang + b"\0" + "Título".encode() + b"\0"
    return chunk(b"iTXt", head + (zlib.compress(text) if packed else text))


@pytest.mark.parametrize("late", [False, True])
def test_texts_of_a_png_are_captions_and_metadata(late: bool, tmp_path: Path) -> None:
    texts = [
        chunk(b"tEXt", b"Title\0" + "Cão".encode("latin-1")),
        chunk(b"tEXt", b"Software\0A program"),
        chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"Ana")),
        itxt(b"Copyright", b"CC0"),
        itxt(b"Description", "Um cão".encode(), lang=b"pt"),
        itxt(b"Description", b"A dog\nruns", packed=True),
        chunk(b"tEXt", b"Description\0" + "Ações".encode()),
        chunk(b"tEXt", b"Title\0Screenshot"),
    ]
    xmp = packet(alt("dc:title", en="Of XMP"), "photoshop:Credit='Archive'")
    write(tmp_path, {"a.png": png(b"", *texts, late=late), "b.png": png(xmp, *texts, late=late)})
    found = read_embedded(tmp_path / "a.png")
    assert [tuple(one) for one in found.captions] == [
        # Descriptions before titles.
        ("PNG text", "pt", "Um cão"),
        ("PNG text", None, "A dog\nruns"),
        ("PNG text", None, "Ações"),
        ("PNG text", None, "Cão"),
    ]
    assert (found.metadata, found.faults) == ({"creator": "Ana", "rights": "CC0"}, ())
    assert captions(MediaFolder(tmp_path), "b.png") == [
        ("XMP", "en", "Of XMP"),
        ("PNG text", "pt", "Um cão"),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (chunk(b"zTXt", b"Description\0\0no zlib"), "cannot be read"),
        (itxt(b"Description", b"A dog", lang=b"no tag"), "holds a caption in 'no tag', which is no tag of a"),
        (chunk(b"tEXt", b"Description\0" + b"a" * 10_001), "holds a caption of 10,001 characters, more than"),
        (chunk(b"tEXt", b"Title\0" + b"a" * 200_000), "cannot be read (Title has more than 100,000 bytes"),
        (itxt(b"Title", b"a" * 5_000_000, packed=True), "cannot be read (Title has more than 100,000 bytes"),
        (chunk(b"tEXt", b"Comment\0" + b"a" * 200_000), None),
        (chunk(b"iTXt", b"Description"), None),
        (chunk(b"zTXt", b"Title\0"), None),
    ],
)
def test_a_text_of_a_png_that_cannot_be_read_costs_nothing_else(
    text: bytes, what: str | None, tmp_path: Path
) -> None:
    write(tmp_path, {"a.png": png(b"", text, chunk(b"tEXt", b"Title\0A cat"))})
    found = read_embedded(tmp_path / "a.png")
    assert [one.text for one in found.captions] == ["A cat"]
    assert [(one.source, one.what.startswith(what or "?")) for one in found.faults] == (
        [("PNG text", True)] if what else []
    )


def test_a_text_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    packed = itxt(b"Title", b"a" * 50_000_000, packed=True)
    assert len(packed) < 100_000
    write(tmp_path, {"a.png": png(b"", packed)})
    tracemalloc.start()
    try:
        (fault,) = read_embedded(tmp_path / "a.png").faults
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert "more than 100,000 bytes" in fault.what


def test_of_many_texts_of_a_png_a_few_are_read(tmp_path: Path) -> None:
    many = [chunk(b"tEXt", b"Title\0Cat number %d" % number) for number in range(300)]
    write(tmp_path, {"a.png": png(b"", *many)})
    assert len(read_embedded(tmp_path / "a.png").captions) == 200


def test_xmp_is_read_in_elements_attributes_and_qualified_texts() -> None:
    qualified = "<rdf:li xml:lang='de' rdf:parseType='Resource'><rdf:value>Ein Hund</rdf:value></rdf:li>"
    elements = (
        f"<dc:title><rdf:Alt>{qualified}<rdf:li> </rdf:li></rdf:Alt></dc:title><dc:format>x</dc:format>"
    )
    found = xmp_properties(
        packet(elements, "photoshop:Headline='Dogs &amp; cats' other='y'".replace("other", "rdf:x"))
    )
    assert found == {
        "photoshop:Headline": [XmpText(None, "Dogs & cats")],
        "dc:title": [XmpText("de", "Ein Hund")],
        "dc:format": [XmpText(None, "x")],
    }
    assert xmp_properties(packet(IN_BOTH).decode().replace("begin='\ufeff'", "").encode("utf-16")) == {
        "dc:description": [XmpText("pt", "Um cão"), XmpText("en", "A dog")]
    }


@pytest.mark.parametrize(
    "raw", ["Cão à água".encode(), "Cão à água".encode("latin-1")], ids=["utf-8", "latin-1"]
)
def test_iptc_is_read_in_both_encodings_that_archives_use(raw: bytes, tmp_path: Path) -> None:
    for name, fields in {"said": ((1, 90, b"\x1b%G"), (2, 120, raw)), "unsaid": ((2, 120, raw),)}.items():
        write(tmp_path, {f"{name}.jpg": jpeg(iptc=iim(*fields))})
        assert said(tmp_path / f"{name}.jpg") == [("IPTC", None, "Cão à água")]


def test_exif_is_read_in_the_encodings_of_its_fields(tmp_path: Path) -> None:
    tags = {
        0x010E: "Cão".encode(),
        0x9C9B: "Título\0".encode("utf-16-le"),
        0x9C9C: "Комментарий\0".encode("utf-16-le"),
        0x9C9E: "um;dois\0".encode("utf-16-le"),
    }
    for name, comment in {
        "ascii": b"ASCII\0\0\0A comment\0\0",
        "big": b"UNICODE\0" + "A comment".encode("utf-16-be"),
        "little": b"UNICODE\0" + "A comment".encode("utf-16-le"),
        "unnamed": bytes(8) + b"A comment",
    }.items():
        write(tmp_path, {f"{name}.jpg": jpeg(exif=exif(dict(tags), {0x9286: comment}))})
        found = read_embedded(tmp_path / f"{name}.jpg")
        texts = ["Cão", "Комментарий", "A comment", "Título"]
        assert [one.text for one in found.captions] == texts, name
        assert found.metadata == {"keywords": ("um", "dois")}


@pytest.mark.parametrize(
    "text",
    [
        *[
            "OLYMPUS DIGITAL CAMERA         ",
            "SONY DSC",
            "Created with GIMP",
            "DSC_0012",
            "a.jpg",
            "A",
            "b.JPG",
        ],
        *["dav_soft", "2012 - 03", "https://example.org/x", "{'mode': 1}", "KONICA MINOLTA DIGITAL CAMERA"],
        " \0x",
    ],
)
def test_words_of_cameras_and_programs_are_no_captions(text: str, tmp_path: Path) -> None:
    iptc = iim((2, 120, text.encode()), (2, 5, b"A man reads"))
    write(tmp_path, {"a.jpg": jpeg(iptc=iptc, exif=exif({0x010E: text}))})
    assert said(tmp_path / "a.jpg") == [("IPTC", None, "A man reads")]


def test_a_title_that_says_the_same_is_no_second_caption(tmp_path: Path) -> None:
    xmp = packet(
        alt("dc:description", en="A dog\n runs.") + alt("dc:title", en="a dog runs", pt="Um cão corre")
    )
    write(tmp_path, {"a.jpg": jpeg(xmp=xmp)})
    assert said(tmp_path / "a.jpg") == [("XMP", "en", "A dog\n runs."), ("XMP", "pt", "Um cão corre")]


def test_places_without_a_signal_and_beyond_the_earth_are_none(tmp_path: Path) -> None:
    places = ["0,0N 0,0E", "91,0N 8,0E", "41N 8,0E", "41,0N", "41,0N 181,0W"]
    for number, place in enumerate(places):
        names = ("exif:GPSLatitude", "exif:GPSLongitude")
        said = " ".join(f"{name}='{one}'" for name, one in zip(names, place.split(), strict=False))
        write(tmp_path, {f"{number}.jpg": jpeg(xmp=packet(attributes=said))})
        assert read_embedded(tmp_path / f"{number}.jpg") == Embedded(), place
    tags = exif({})
    tags.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 31.2), 3: "E", 4: (151.0, 12.5, 0.0)})
    write(tmp_path, {"exif.jpg": jpeg(exif=tags)})
    # -(33 + 51/60 + 31.2/3600), 151 + 12.5/60.
    assert read_embedded(tmp_path / "exif.jpg").metadata == {"latitude": -33.858667, "longitude": 151.208333}


def test_in_each_language_the_first_source_that_has_captions_gives_them() -> None:
    inside = [
        InsideCaption("XMP", "pt", "um cão"),
        InsideCaption("XMP", None, "A dog."),
        InsideCaption("XMP", "pt", "cães"),
        InsideCaption("IPTC", None, "a cat"),
        InsideCaption("IPTC", "de", "ein Hund"),
        InsideCaption("EXIF", None, "UM CÃO"),
        InsideCaption("EXIF", "de", "eine Katze"),
    ]
    chosen, counts = chosen_captions(inside, {}, "en")
    assert [tuple(one) for one in chosen] == [
        ("XMP", "pt", "um cão"),
        ("XMP", "pt", "cães"),
        ("XMP", "en", "A dog."),
        ("IPTC", "de", "ein Hund"),
    ]
    # The Portuguese words of EXIF are known: they are neither English nor anything new.
    taken = {("XMP", ""): 3, ("IPTC", ""): 1, ("IPTC", OVERRULED): 1, ("EXIF", OVERRULED): 1}
    assert counts == Counter(taken)
    chosen, counts = chosen_captions(inside[:4], {"pt": {"um cão"}}, None)
    assert chosen == []
    assert counts == Counter({("XMP", OVERRULED): 1, ("XMP", NAMELESS): 1, ("IPTC", NAMELESS): 1})
    # A text of a language that is said beside one that says none in the same language.
    both = [InsideCaption("XMP", None, "Ein Hund"), InsideCaption("XMP", "en", "A dog")]
    assert chosen_captions(both, {}, "en") == (
        [InsideCaption("XMP", "en", "A dog")],
        Counter({("XMP", ""): 1, ("XMP", OVERRULED): 1}),
    )


def test_what_is_written_beside_a_picture_counts_more_than_what_stands_inside(tmp_path: Path) -> None:
    sidecar = packet(alt("dc:description", de="Ein Hund", sw="Mbwa") + bag("dc:subject", "dog"))
    inside = packet(
        alt("dc:description", en="Inside", pt="Dentro", de="Innen", fr="Un chien"), "photoshop:City='Porto'"
    )
    files = {
        "a.jpg": jpeg(xmp=inside, iptc=iim((2, 120, b"Of IPTC"), (2, 90, b"Faro"), (2, 25, b"iptc"))),
        "a.txt": "A dog\n",
        "a.jpg.xmp": sidecar,
        "a.xmp": packet(alt("dc:description", sw="Mbwa wawili", cs="Pes")),
        "b.png": png(packet(alt("dc:title", x_default="A cat"))),
        "other.xmp": sidecar,
        "metadata.csv": "path,text,lang,city\na.jpg,Um cão,pt,Braga\n",
    }
    media = MediaFolder(write(tmp_path / "in", files))
    assert captions(media, "a.jpg") == [
        ("text file", None, "A dog"),
        ("table", "pt", "Um cão"),
        ("sidecar", "de", "Ein Hund"),
        ("sidecar", "sw", "Mbwa"),
        ("sidecar", "sw", "Mbwa wawili"),
        ("sidecar", "cs", "Pes"),
        ("XMP", "fr", "Un chien"),
    ]
    assert captions(media, "b.png") == [("XMP", "en", "A cat")]
    assert captions(media, "b.png", "gl") == [("XMP", "gl", "A cat")]
    assert captions(media, "b.png", None) == []
    assert media.metadata("a.jpg") == {"keywords": ("dog",), "city": "Braga"}
    (other,) = [line for line in media.left_out() if "other.xmp" in line]
    assert other.startswith("left out: 1 neither images")


def test_what_lies_beside_a_picture_with_captions_inside_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a.jpg": jpeg(iptc=iim((2, 120, b"A dog"))), "a.txt": "um cão\n\n\x00\n"}
    files["a.de.txt"] = "x" * 1_000_001
    media, opened = MediaFolder(write(tmp_path / "in", files)), Counter[str]()
    read = folder.text_lines
    monkeypatch.setattr(folder, "text_lines", lambda file: opened.update([file.name]) or read(file))
    found = {one.file.name: one for one in media.texts("a.jpg", "pt")}
    assert [(line.number, line.text, bool(line.fault)) for line in found["a.txt"].lines()] == [
        (1, "um cão", False),
        (3, "\0", True),
    ]
    with pytest.raises(NoteError, match=r"a\.de\.txt is larger than 1,000,000 bytes"):
        list(found["a.de.txt"].lines())
    assert opened == {"a.txt": 1}


def test_hostile_metadata_are_told_and_the_picture_is_kept_by_corpus_and_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><x>&b;</x>"
    deep = b"<a>" * 5000 + b"</a>" * 5000
    pixels = png(b"<x/>", packed=True)
    at = pixels.index(b"iTXt") - 4
    large = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * 17_000_000))
    files = {
        "bomb.jpg": jpeg(xmp=bomb),
        "deep.jpg": jpeg(xmp=deep),
        "iim.jpg": jpeg(iptc=b"\x1c\x02\x78\0\x05A dog" + b"\x1d" * 20),
        "large.png": pixels[:at] + large + pixels[at:],
        "long.jpg": jpeg(iptc=iim((2, 120, b"A d" + b"o" * 10_000 + b"g"), (2, 5, b"A dog"))),
        "side.jpg": jpeg(),
        "side.jpg.xmp": "no XML",
        "tag.jpg": jpeg(xmp=packet(alt("dc:title", english="A dog"))),
    }
    photos = write(tmp_path / "photos", files)
    report = build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train"))
    assert report.items == 7
    assert report.corpus.captions["text"].to_pylist() == ["A dog"]
    lines = [json.loads(line) for line in (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()]
    told = {(Path(line["file"]).name, line["reason"].partition("(")[0].strip()) for line in lines}
    assert told == {
        ("bomb.jpg", "its XMP declares a document type, which XMP has not"),
        ("deep.jpg", "its XMP is nested deeper than 100, or has more than 200,000 elements"),
        ("iim.jpg", "its IPTC cannot be read"),
        ("large.png", "its XMP is larger than 16,000,000 bytes"),
        ("long.jpg", "its IPTC holds a caption of 10,004 characters, more than 10,000"),
        ("side.jpg.xmp", "it is no XML"),
        ("tag.jpg", "its XMP holds a caption in 'english', which is no tag of a language"),
    }
    toy_model.stand_in(monkeypatch)
    run = toy_model.save_model(tmp_path / "run")
    indexed = index_media(run, photos, tmp_path / "index", IndexOptions(lang="en"))
    assert indexed.info.count == 7
    assert [(one.item_id, one.reason.partition(", which")[0]) for one in indexed.rejected] == [
        ("bomb.jpg", "indexed, but without the XMP of bomb.jpg"),
        ("deep.jpg", "indexed, but without the XMP of deep.jpg"),
        ("iim.jpg", "indexed, but without the IPTC of iim.jpg"),
        ("large.png", "indexed, but without the XMP of large.png"),
        ("long.jpg", "indexed, but without the IPTC of long.jpg"),
        ("side.jpg", "indexed, but without side.jpg.xmp"),
        ("tag.jpg", "indexed, but without the XMP of tag.jpg"),
    ]


def test_a_corpus_remembers_where_each_caption_stood_and_takes_what_an_editor_adds(tmp_path: Path) -> None:
    plain = {"a.jpg": jpeg(), "a.txt": "A dog\n", "b.jpg": jpeg(colour="blue")}
    photos = write(tmp_path / "photos", plain)
    options = BuildOptions(lang="en", split="train")
    assert build_folder(photos, tmp_path / "corpus", options).notes == ()
    edited = {
        "a.jpg": jpeg(iptc=iim((2, 120, b"Overruled"), (2, 25, b"dog"))),
        "b.jpg": jpeg(xmp=packet(alt("dc:title", en="A cat", pt="Um gato"))),
    }
    report = build_folder(write(photos, edited), tmp_path / "corpus", options)
    assert report.update is not None
    assert str(report.update.captions) == "2 added, 0 changed, 0 removed"
    assert str(report.update.items) == "0 added, 1 changed, 0 removed"
    assert report.notes == (
        "captions from: text file 1, XMP 2",
        "left out: 1 captions, as a source that counts more has others in their language (a.jpg: IPTC)",
    )
    columns = ["caption_id", "text", "found_in"]
    assert report.corpus.captions.select(columns).to_pylist() == [
        {"caption_id": "a.jpg#en#0", "text": "A dog", "found_in": "text file"},
        {"caption_id": "b.jpg#en#0", "text": "A cat", "found_in": "XMP"},
        {"caption_id": "b.jpg#pt#0", "text": "Um gato", "found_in": "XMP"},
    ]
    assert report.corpus.items.to_pylist()[0]["keywords"] == ["dog"]
    assert build_folder(photos, tmp_path / "corpus", options).unchanged


def test_captions_inside_that_say_no_language_are_told_where_none_is_given(tmp_path: Path) -> None:
    files = {"a.jpg": jpeg(iptc=iim((2, 120, b"A dog"))), "a.pt.txt": "um gato\n"}
    report = build_folder(write(tmp_path / "photos", files), tmp_path / "corpus", BuildOptions(split="train"))
    assert report.corpus.captions["text"].to_pylist() == ["um gato"]
    assert report.notes == ("left out: 1 captions that do not say their language: pass --lang (a.jpg: IPTC)",)


def test_metadata_inside_give_way_to_a_table_with_other_sorts_of_values(tmp_path: Path) -> None:
    xmp = packet(bag("dc:subject", "dog"), "photoshop:DateCreated='1962' photoshop:City='Porto'")
    table = "path,keywords,year,city\nb.jpg,dog; cat,c. 1950,Braga\n"
    photos = write(tmp_path / "photos", {"a.jpg": jpeg(xmp=xmp), "b.jpg": jpeg(), "metadata.csv": table})
    report = build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train"))
    assert report.rejected == 0
    names = ["keywords", "year", "city"]
    assert report.corpus.items.select(names).to_pylist() == [
        {"keywords": None, "year": None, "city": "Porto"},
        {"keywords": "dog; cat", "year": "c. 1950", "city": "Braga"},
    ]
    assert report.notes == (
        "left out: keywords, year from inside the pictures, as tables or notes hold other sorts of values "
        "under these names",
    )


def test_a_corpus_and_an_index_take_the_same_from_inside_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_model.stand_in(monkeypatch)
    xmp = packet(IN_BOTH + bag("dc:subject", "dog"), "photoshop:City='Porto'")
    tags = exif({}, {0x9003: "1999:12:31 23:59:59"})
    files = {"a.jpg": jpeg(xmp=xmp, exif=tags), "a.en.txt": "a dog by hand\n"}
    photos, run = write(tmp_path / "photos", files), toy_model.save_model(tmp_path / "run")
    corpus = build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train")).corpus
    for place, media in {"of folder": photos, "of corpus": corpus.folder}.items():
        report = index_media(run, media, tmp_path / place, IndexOptions(lang="en"))
        with open_generation(report.info) as store:
            (entry,) = store.scan(limit=10)
        assert entry.captions == {"en": "a dog by hand", "pt": "Um cão"}, place
        kept = {name: entry.metadata[name] for name in ("keywords", "city", "year", "date", "width")}
        assert kept == {"keywords": ("dog",), "city": "Porto", "year": 1999, "date": "1999-12-31", "width": 8}
        told = [line for line in report.left_out if "from inside" in line]
        assert told == (
            ["captions from inside pictures and their sidecars: XMP 1"] if "folder" in place else []
        )


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.data()))
def test_no_packet_raises_anything_else(drawn: bytes | st.DataObject) -> None:
    whole = packet(IN_BOTH + bag("dc:subject", "a", "b"), "photoshop:City='Porto'")
    content = drawn if isinstance(drawn, bytes) else damaged(whole, drawn)
    try:
        for texts in xmp_properties(content).values():
            assert all(isinstance(one.text, str) and one.text for one in texts)
    except XmpError:
        pass


def whole_pictures() -> dict[str, bytes]:
    xmp, file = packet(IN_BOTH), io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "WEBP", xmp=xmp)
    tiff = io.BytesIO()
    Image.new("RGB", (8, 6)).save(tiff, "TIFF", tiffinfo={700: xmp, 270: "A dog"})
    place = exif({0x010E: "A dog"}, {0x9286: b"UNICODE\0A\0"})
    place.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "W", 4: (4.0, 0.0, 0.0)})
    whole = jpeg(xmp=xmp, iptc=iim((2, 120, b"A dog"), (2, 25, b"dog")), exif=place)
    main = packet(alt("dc:description", en="A dog"), NAMED)
    texts = [itxt(b"Description", b"A dog", lang=b"en", packed=True), chunk(b"tEXt", b"Title\0A cat")]
    found = {"jpg": whole, "png": png(xmp, packed=True), "tif": tiff.getvalue(), "webp": file.getvalue()}
    found |= {"jpeg": jpeg(xmp=main, more=b"".join(extended(MORE, 100))), "apng": png(b"", *texts)}
    for kind in ("avif", "heic"):
        with suppress(pytest.skip.Exception):
            found[kind] = of_telephone(kind)
    return found


WHOLE = whole_pictures()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_damaged_pictures_and_random_bytes_raise_nothing(kind: str, drawn: st.DataObject) -> None:
    content = damaged(WHOLE[kind], drawn)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"a.{kind}"
        file.write_bytes(content)
        found = read_embedded(file)
    assert len(found.captions) <= 600
    assert all(len(one.text) <= 10_000 for one in found.captions)


def damaged(content: bytes, drawn: st.DataObject) -> bytes:
    """A content cut off, with bytes of it changed, and others put in."""
    at = drawn.draw(st.integers(0, len(content)))
    keep = content[:at] if drawn.draw(st.booleans()) else content
    changed = bytearray(keep)
    for place in drawn.draw(st.lists(st.integers(0, max(len(keep) - 1, 0)), max_size=6)):
        if place < len(changed):
            changed[place] = drawn.draw(st.integers(0, 255))
    return bytes(changed[:at]) + drawn.draw(st.binary(max_size=20)) + bytes(changed[at:])
