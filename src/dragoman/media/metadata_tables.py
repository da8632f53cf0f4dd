"""Tables in folders of media, `metadata.csv` and `metadata.jsonl`: metadata and captions of many items.

A row is of the item that its column `path` names, seen from the folder of the table. Its `text`, in a
`metadata.jsonl` also a list of them, is a caption in the language `lang`; all other columns are metadata.
Without `text`, `lang` is metadata as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.metadata import is_absent, is_number, metadata_of_json, metadata_of_table
from dragoman.records import Value
from dragoman.textfiles import TextLine, json_lines, table

TABLES = ("metadata.csv", "metadata.jsonl")
KEYS = ("path", "file_name", "file", "item_id")
"""Columns that may hold the path; the first that is there counts."""
_BREAKS = re.compile(r"[\t\n\v\f\r]+")


class TableCaption(NamedTuple):
    """A caption from a table."""

    file: Path
    lang: str | None
    line: TextLine


class _MediaRow(NamedTuple):
    line: TextLine
    item_id: str
    metadata: Mapping[str, Value]
    texts: Sequence[str]
    lang: str | None


class TableFault(NamedTuple):
    """A row of a table that cannot be read, or a whole table."""

    file: Path
    line: int
    """From 1; 0 is the whole file."""
    reason: str


class MediaTables:
    """Metadata and captions of the tables of a folder, by item; a later row adds to those before it."""

    def __init__(self, folder: Path, tables: Sequence[str]) -> None:
        """Read the tables at these paths below a folder."""
        self.metadata: dict[str, dict[str, Value]] = {}
        self.captions: dict[str, list[TableCaption]] = {}
        self.oddities: list[str] = []
        """Rows that say otherwise than one before them, and what makes texts of numbers; a line each."""
        self._rows: dict[Path, list[tuple[int, str]]] = {}
        self.faults: list[TableFault] = []
        """Rows, and whole tables, that cannot be read; the others are taken."""
        for path in tables:
            file, read = folder / path, _read_csv if path.endswith(".csv") else _read_jsonl
            try:
                self._take(file, PurePosixPath(path).parent, read(file, self.oddities))
            except UserError as error:
                self.faults.append(TableFault(file, 0, f"{error} Correct it, or move it away."))
            except OSError as error:
                self.faults.append(TableFault(file, 0, f"cannot be read ({error.strerror})"))

    def unmatched(self, item_ids: Collection[str]) -> list[str]:
        """Tell of rows that are of none of these items: one line a table that has any."""
        known, alike = set(item_ids), dict[str, str]()
        lines = []
        for file, rows in self._rows.items():
            strays = [(number, path) for number, path in rows if path not in known]
            if strays:
                # Names are told apart by capitals and by how accents are written, as the file system does.
                alike = alike or {_plain(item_id): item_id for item_id in item_ids}
                number, path = strays[0]
                near = f", though {alike[_plain(path)]!r} is" if _plain(path) in alike else ""
                lines.append(
                    f"{file}: {len(strays)} of {len(rows)} rows belong to no image or video and are left "
                    f"out; first line {number}: {path!r} is not there{near}."
                )
        return lines

    def _take(self, file: Path, folder: PurePosixPath, rows: Iterator[_MediaRow | TableFault]) -> None:
        seen = self._rows.setdefault(file, [])
        others = []
        for row in rows:
            if isinstance(row, TableFault):
                self.faults.append(row)
                continue
            line, path, metadata, texts, lang = row
            item_id = (folder / path).as_posix() if path else path
            seen.append((line.number, item_id))
            known = self.metadata.setdefault(item_id, {})
            others += [
                f"line {line.number}: {name} of {item_id!r} is {value!r}, before it was {known[name]!r}"
                for name, value in metadata.items()
                if known.get(name, value) != value
            ]
            known |= metadata
            captions = (line._replace(text=_BREAKS.sub(" ", text).strip()) for text in texts)
            found = [TableCaption(file, lang, caption) for caption in captions if caption.text]
            if found:
                self.captions.setdefault(item_id, []).extend(found)
        if others:
            self.oddities.append(f"{file}: {len(others)} values were said otherwise before; {others[0]}.")


def _read_csv(file: Path, oddities: list[str]) -> Iterator[_MediaRow | TableFault]:
    # Cells at the end of a line that are empty may be left out, as spreadsheets do.
    header, records = table(file, padded=True)
    key = header.index(_key(header))
    own = {header[key]} | ({"text", "lang"} if "text" in header else set())
    names = [name for name in header if name and name not in own]
    place_of = {name: place for place, name in enumerate(header)}
    places = [place_of[name] for name in names]
    nameless = [place for place, name in enumerate(header) if not name]
    found = []
    long, lost = list[int](), list[int]()
    for number, raw, cells, fault in records:
        # A stray byte in a caption is the fault of that caption alone.
        if not fault and not all(_is_utf8(cells[place]) for place in (key, *places)):
            fault = "a cell is not UTF-8. Save the file as UTF-8."
        if fault:
            yield TableFault(file, number, fault)
        else:
            found.append((TextLine(number, raw, "", None), cells))
            long += [number] if "\n" in raw else []
            lost += [number] if any(cells[place] for place in nameless) else []
    if long:
        oddities.append(
            f"{file}: {len(long)} records of several lines (a quote left open makes one, too), the first in "
            f"line {long[0]}."
        )
    if lost:
        oddities.append(
            f"{file}: a column without a name holds values in {len(lost)} rows, which are left out, the "
            f"first in line {lost[0]}. Name it in line 1."
        )
    for name, place in zip(names, places, strict=True):
        column = [(line.number, cells[place]) for line, cells in found if not is_absent(cells[place])]
        oddities.extend(_almost_numbers(file, name, column))
    # A column is one of numbers only where all of its cells are, so that the whole table is read first.
    rows = metadata_of_table(names, [[cells[place] for place in places] for _, cells in found])
    for (line, cells), metadata in zip(found, rows, strict=True):
        said = dict(zip(header, cells, strict=True))
        texts = [said["text"]] if "text" in said and not is_absent(said["text"]) else []
        try:
            lang = canonical_tag(said["lang"]) if texts and said.get("lang") else None
        except ValueError as error:
            yield TableFault(file, line.number, str(error))
            continue
        yield _MediaRow(line, _as_id(cells[key]), metadata, texts, lang)


def _almost_numbers(file: Path, name: str, column: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Tell of a column, its cells with their lines, that is text because of few cells."""
    others = [(number, text) for number, text in column if not is_number(text)]
    # Few among many are slips of the pen, such as `c. 1955` among years; where they are many, all are names.
    if others and 2 * len(others) < len(column):
        number, text = others[0]
        yield (
            f"{file}, line {number}: {name} is {text!r}, which is no number, so that all of {name} is text "
            f"and filters such as {name}>=1 find nothing."
        )


def _read_jsonl(file: Path, oddities: list[str]) -> Iterator[_MediaRow | TableFault]:
    left_out: list[str] = []
    lines = set()
    for line, fields in json_lines(file):
        count = len(left_out)
        try:
            if line.fault:
                raise UserError(line.fault)
            yield _row_of(line, fields, left_out)
        except (ValueError, RecursionError) as error:
            yield TableFault(file, line.number, str(error))
        lines |= {line.number} if len(left_out) > count else set()
    if left_out:
        oddities.append(
            f"{file}: values of {len(lines)} rows that no filter can compare, such as lists of objects, are "
            f"left out; the first is {left_out[0]} in line {min(lines)}."
        )


def _row_of(line: TextLine, fields: Mapping[str, Any], left_out: list[str]) -> _MediaRow:
    """Read a line of JSON. Raises ValueError."""
    key = _key(fields)
    said = fields.get("text")
    texts: list[Any] = said if isinstance(said, list) else [] if said is None else [said]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"text is {said!r}, but a text or a list of texts was expected.")
    own = {key} | ({"text", "lang"} if "text" in fields else set())
    more = metadata_of_json(
        {name: value for name, value in fields.items() if name not in own}, left_out=left_out
    )
    if not all(map(_is_utf8, (str(fields[key]), *map(str, (*more, *more.values()))))):
        raise UserError("half of a surrogate pair (\\ud800 to \\udfff) is no character. Correct it.")
    lang = canonical_tag(str(fields["lang"])) if texts and fields.get("lang") else None
    return _MediaRow(line, _as_id(str(fields[key])), more, texts, lang)


def _key(names: Collection[str]) -> str:
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise UserError(f"no column is named {', '.join(KEYS[:-1])} or {KEYS[-1]}.")
    return key


def _as_id(path: str) -> str:
    """`./trip/dog.jpg` and Windows' `trip\\dog.jpg` are `trip/dog.jpg`."""
    return PurePosixPath(path.replace("\\", "/")).as_posix() if path else path


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
