"""Captions as users have them, each with a verb of its own: a table, JSON Lines, or a folder of media."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.corpus.corrections import CORRECTION, Corrections, Fault, read_corrections
from dragoman.corpus.readers.contract import CAPTION_KEYS, ITEM_KEYS, Defects, Row, Source
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.media.folder import ORIGINS, CaptionFile, MediaFolder, NoteError
from dragoman.media.metadata_tables import language_of
from dragoman.metadata import is_absent
from dragoman.records import Value
from dragoman.sheets import records
from dragoman.textfiles import json_object, numbered_lines

if TYPE_CHECKING:
    from dragoman.arrow import pa

log = logging.getLogger(__name__)

_TEXT_OF = "text_"
"""Beginning of the keys of captions in a language: `text_pt`."""


def read_table(
    table: Path,
    *,
    columns: Mapping[str, str],
    delimiter: str | None = None,
    metadata: Collection[str] = (),
    kind: str | None = None,
) -> Source:
    """Read one caption a record, and one more for each column of a language (`language_of`) that is filled.

    A record of the kind `text` is an item itself, and its captions stand in columns of languages; `kind` is
    that of records that name none.

    `columns` maps a key of a caption or item to the header it has here; `text_pt` is the key of captions in
    Portuguese. Headers that are keys already need no mapping; other columns are left out, unless `metadata`
    names them. An empty cell is an absent value, and so is one of what programs write for it (`nan`, `N/A`),
    but as metadata or as language. The delimiter is that of `textfiles.table`; files called `.tsv` or
    `.tsv.gz` have tabs.
    """
    unknown = sorted(key for key in columns if key not in CAPTION_KEYS | ITEM_KEYS and not _is_text_of(key))
    if unknown:
        known = ", ".join([*sorted(CAPTION_KEYS | ITEM_KEYS), "text_pt, text_de, …"])
        raise UserError(f"--column {unknown[0]}=…: no such key. Known: {known}. Write --column KEY=HEADER.")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\n\r"'):
        raise UserError(f"--delimiter is {delimiter!r}, but one character was expected, as in ';'.")
    defects = Defects()
    return Source(
        captions=_records(table, columns, delimiter, frozenset(metadata), kind, defects),
        inputs={str(table): sha256(table)} if table.is_file() else {},
        findings=lambda items, captions: defects.lines(),
    )


def _records(
    path: Path,
    columns: Mapping[str, str],
    delimiter: str | None,
    metadata: frozenset[str],
    kind: str | None,
    defects: Defects,
) -> Iterator[Row]:
    usual = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    header, rows = records(path, delimiter, usual=usual)
    keys = _places(path, header, columns, metadata)
    langs = {key: language_of(key) for key in keys if key not in metadata and _is_text_of(key)}
    for number, raw, cells, fault in rows:
        fields: dict[str, object] = {}
        if not fault and "\n" in raw:
            # Most are meant so, which is why they are counted and not refused.
            defects.note("record of several lines (a quote left open makes one, too)", f"line {number}")
        if not fault:
            fields = {
                key: cells[place]
                for key, place in keys.items()
                # "nan" is the code of a language: Southern Min.
                if cells[place] and (key in metadata or key == "lang" or not is_absent(cells[place]))
            }
            fields["trust"] = _number(fields.get("trust"))
        texts = {lang: fields.pop(key) for key, lang in langs.items() if key in fields}
        is_item = _is_text(fields, kind)
        if fault or is_item or "text" in fields or not langs:
            yield Row(str(path), number, raw, fields, fault, is_item=is_item)
        elif not texts:
            defects.note("record without a caption", f"line {number}")
        # An id is of one caption alone.
        fields.pop("caption_id", None)
        for lang, text in texts.items():
            yield Row(str(path), number, raw, fields | {"text": text, "lang": lang})


def _places(
    path: Path, header: list[str], columns: Mapping[str, str], metadata: frozenset[str]
) -> dict[str, int]:
    """Find the place of each key that is read."""
    columns = {key: name.strip() for key, name in columns.items()}
    wanted = {name: name for name in metadata} | columns
    for name in wanted.values():
        if name not in header:
            raise UserError(
                f"{path}, line 1: no column {name!r}. The columns are: {', '.join(header)}. "
                "Map them: --column KEY=HEADER."
            )
    mapped = {name for key, name in columns.items() if key != name}
    # A header that is a key counts as that key, unless it is mapped to another.
    same = {name: name for name in header if name in CAPTION_KEYS | ITEM_KEYS and name not in mapped}
    taken = {*same.values(), *wanted.values()}
    langs = {
        f"{_TEXT_OF}{lang}": name for name in header if name not in taken and (lang := language_of(name))
    }
    keys = {key: header.index(name) for key, name in (langs | same | wanted).items()}
    left_out = [
        name or "one without a name" for place, name in enumerate(header) if place not in keys.values()
    ]
    if left_out:
        log.info("%s: columns left out: %s", path, ", ".join(left_out))
    return keys


def _is_text_of(key: str) -> bool:
    return key.startswith(_TEXT_OF) and language_of(key) is not None


def _number(cell: object) -> object:
    """Read a cell as a number where it is one; what is none is left for the check that names it."""
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def _is_text(fields: Mapping[str, object], kind: str | None) -> bool:
    """Tell if a record among captions is an item of its own."""
    return fields.get("kind", kind) == "text"


def read_jsonl(
    captions: Path,
    *,
    items: Path | None = None,
    metadata: Collection[str] = (),
    ignore: Collection[str] = (),
    kind: str | None = None,
) -> Source:
    """Read captions with the keys of a caption and its item, and optionally items with any further keys.

    A key of a caption line that is neither known nor named in `metadata` or `ignore` is a fault: it is
    usually a typing error. Blank lines are skipped. Without `items`, a line of the kind `text` is an item
    itself; `kind` is that of lines that name none.
    """
    files = [captions] if items is None else [captions, items]
    known = CAPTION_KEYS | ITEM_KEYS | set(metadata)
    return Source(
        captions=_lines(_objects(captions, known, frozenset(ignore)), items is None, kind),
        items=None if items is None else _objects(items, None, frozenset()),
        inputs={str(path): sha256(path) for path in files if path.is_file()},
    )


def _lines(rows: Iterator[Row], alone: bool, kind: str | None) -> Iterator[Row]:
    """Mark the lines that are items, where captions stand `alone`, without a file of items."""
    return (row._replace(is_item=alone and _is_text(row.fields, kind)) for row in rows)


def _objects(path: Path, known: frozenset[str] | None, ignore: frozenset[str]) -> Iterator[Row]:
    name = str(path)
    for number, raw in numbered_lines(path):
        if not raw.strip():
            continue
        fields, fault = json_object(raw)
        # Misspelt keys would otherwise be lost: "captoin" is no fault of JSON.
        if known is not None and not fields.keys() <= known:
            fields = {key: value for key, value in fields.items() if key not in ignore}
            unknown = sorted(fields.keys() - known)
            if unknown:
                fault = (
                    f"key {unknown[0]!r} is not known (known: {', '.join(sorted(known))}). Correct it, or "
                    f"pass --metadata {unknown[0]} to keep it with the item, or --ignore {unknown[0]}."
                )
        yield Row(name, number, raw, fields, fault)


def read_folder(
    folder: Path, exclude: Sequence[str] = (), *, lang: str | None = None, corrections: Sequence[Path] = ()
) -> Source:
    """Read every image and video as an item, whether it has captions or not, but what matches a pattern.

    Files of corrections are read one behind another, and what stands in them comes before other captions.
    A text file that belongs to none of them is a fault: its captions would be lost without a word. Without
    `lang`, the names of files must tell the language of all captions; raises UserError.
    """
    media = MediaFolder(folder, exclude)
    # A missing option is no fault of a file: listed as one, it would cost all captions.
    texts = (one for item_id in media.ids for one in media.texts(item_id)) if lang is None else ()
    written = (one.file for one in texts if one.lang is None and one.unreadable is None)
    if nameless := next(written, None):
        raise UserError(f"{nameless}, line 1: lang is missing. Name it in the file name, or pass --lang.")
    clashes: list[str] = []
    faults: list[Fault] = []
    # Hashed before they are read: one that is replaced meanwhile is read again by the next build.
    hashes = {str(file): sha256(file) for file in corrections if file.is_file()}
    corrected = read_corrections(corrections, faults, media=folder)

    def findings(items: pa.Table, captions: pa.Table) -> list[str]:
        strangers = corrected.strangers(set(media.ids))
        return [*_origins(captions), *media.left_out(), *clashes, *([strangers] if strangers else [])]

    return Source(
        items=_media_items(media, clashes),
        captions=chain(_corrections(media, corrected, faults), _media_captions(media, lang)),
        inputs={str(folder): media.fingerprint()} | hashes,
        findings=findings,
        goes_on=True,
    )


def _origins(captions: pa.Table) -> Iterator[str]:
    """Tell where the captions stood, but for a folder that has nothing but text files."""
    counts = Counter(captions["found_in"].to_pylist()) if "found_in" in captions.column_names else Counter()
    if counts.keys() - {"text file"}:
        places = (CORRECTION, *ORIGINS)
        yield "captions from: " + ", ".join(f"{one} {counts[one]:,}" for one in places if one in counts)


def _clashes(media: MediaFolder) -> Iterator[str]:
    """Find names under which pictures hold one sort of values inside, and what is noted of them another."""
    # A column of a corpus has one sort, and what somebody wrote down for this folder counts more.
    sorts: dict[str, str] = {}
    for item_id in media.ids:
        sorts |= {name: sort_of(value) for name, value in media.embedded(item_id).metadata.items()}
    for item_id in media.ids if sorts and media.has_notes else ():
        try:
            noted = media.noted(item_id)
        except NoteError:
            continue
        yield from (name for name, sort in sorts.items() if name in noted and sort_of(noted[name]) != sort)


def sort_of(value: Value) -> str:
    """Name the sort of a value of metadata; numbers are of one."""
    plain = value[0] if isinstance(value, tuple) else value
    return f"{type(value) is tuple} {float if type(plain) is int else type(plain)}"


def _media_items(media: MediaFolder, told: list[str]) -> Iterator[Row]:
    clashes = set(_clashes(media))
    if clashes:
        told.append(
            f"left out: {', '.join(sorted(clashes))} from inside the pictures, as tables or notes hold other "
            "sorts of values under these names"
        )
    for path, reason in media.unusable:
        yield Row(str(media.folder / path), 0, "", {}, reason)
    for file, line, reason in media.faults:
        yield Row(str(file), line, "", {}, reason)
    for item_id in media.ids:
        file = media.folder / item_id
        fields: dict[str, object] = {
            "item_id": item_id,
            "kind": media.kind(item_id),
            "path": str(file.absolute()),
        }
        try:
            metadata = media.noted(item_id)
        except NoteError as error:
            # The picture is sound: it stays, and only its metadata are refused.
            yield Row(str(file), 0, "", {}, str(error))
            metadata = {}
        inside = media.embedded(item_id).metadata
        metadata = {name: value for name, value in inside.items() if name not in clashes} | metadata
        listed = {name: list(value) for name, value in metadata.items() if isinstance(value, tuple)}
        yield Row(str(file), 0, "", metadata | listed | fields)


def _corrections(media: MediaFolder, corrected: Corrections, faults: Sequence[Fault]) -> Iterator[Row]:
    for fault in faults:
        yield Row(str(fault.file), fault.line, fault.raw, {}, fault.reason)
    known = set(media.ids)
    for item_id, of_item in corrected.items() if corrected else ():
        for lang, several in of_item.items() if item_id in known else ():
            for number, one in enumerate(several):
                # Ids of their own, so that no other caption changes its id for them.
                fields = {"caption_id": f"{item_id}#{lang}#{CORRECTION} {number}", "item_id": item_id}
                fields |= {"lang": lang, "text": one.text}
                place = str(media.folder / item_id)
                yield Row(place, 0, "", fields, found_in=CORRECTION, corrects=one.translation)


def _media_captions(media: MediaFolder, lang: str | None) -> Iterator[Row]:
    for item_id in media.ids:
        for texts in media.texts(item_id, lang):
            yield from _lines_of(item_id, texts)
    for path in media.strays:
        reason = (
            f"there is no image or video {path[: -len('.txt')]} beside it. Add it, or move the text file "
            "elsewhere."
        )
        yield Row(str(media.folder / path), 0, "", {}, reason)


def _lines_of(item_id: str, texts: CaptionFile) -> Iterator[Row]:
    file, fields = str(texts.file), {"item_id": item_id} | ({"lang": texts.lang} if texts.lang else {})
    count = 0
    try:
        for line in texts.lines():
            caption = fields | {"text": line.text}
            yield Row(file, line.number, line.raw, caption, line.fault, found_in=texts.origin)
            count += 1
    except NoteError as error:
        yield Row(file, 0, "", {}, f"{f'its {texts.within}' if texts.within else 'it'} {error.what}")
    else:
        if not count:
            yield Row(file, 0, "", {}, "it holds no caption. Write one caption a line, or remove the file.")
