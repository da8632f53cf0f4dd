"""Tables in folders of media, `metadata.csv`, `.xlsx`, `.ods` and `.jsonl`: metadata and captions of many
items.

A row is of the item that its column `path` names, seen from the folder of the table. Its `text`, in a
`metadata.jsonl` also a list of them, is a caption in the language `lang`, and so is what stands in a column
of a language (`language_of`); all other columns are metadata. Without `text`, `lang` is metadata as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dragoman.errors import UserError
from dragoman.languages import canonical_tag, language
from dragoman.metadata import is_absent, is_number, metadata_of_json, metadata_of_table
from dragoman.records import Value
from dragoman.sheets import records
from dragoman.textfiles import TextLine, json_lines

TABLES = ("metadata.csv", "metadata.xlsx", "metadata.ods", "metadata.jsonl")
KEYS = ("path", "file_name", "file", "item_id")
"""Columns that may hold the path; the first that is there counts."""
_CAPTIONED = frozenset(
    """
    text caption captions description title alt alt_text label headline legend bildunterschrift beschreibung
    titel bildtext legenda descrição título texto descripción leyenda pie légende titre texte didascalia
    descrizione titolo testo bijschrift beschrijving popis popisek titulek nadpis podpis opis tytuł описание
    подпись название заголовок текст 说明 標題 标题 描述 文本 説明 タイトル キャプション
    설명 제목 وصف عنوان نص maelezo kichwa
    """.split()  # noqa: SIM905
)
"""Words for a caption, in the languages of those who keep such tables."""
_NAMED = re.compile(
    r"(?P<word>[^\W\d_]+(?:[ _][^\W\d_]+)??)\s*(?:[_:./ -]\s*(?P<behind>[\w-]+)|[(\[](?P<within>[\w-]+)[)\]])"
)
_NO_LANGUAGES = ("id", "no", "nb")
"""Headers that are numbers and names more often than Indonesian and Norwegian."""
_BREAKS = re.compile(r"[\t\n\v\f\r]+")


def language_of(header: str) -> str | None:
    """Tell the language of the captions in a column by its header; None for all other columns.

    That is `text_pt`, `caption (pt)`, `Beschreibung [de]`, or the tag alone, as `pt-BR`; but not `id`,
    `no` and `nb`. Only languages that are known here are taken for one.
    """
    header = header.strip()
    found = _NAMED.fullmatch(header)
    if found is not None and found["word"].casefold().replace(" ", "_") in _CAPTIONED:
        return _known(found["behind"] or found["within"])
    tag = _known(header)
    # Codes that stand for others, such as those of three letters, are more often words: lat, gps, in.
    code = re.split("[-_]", header.lower())[0]
    return tag if tag is not None and tag.partition("-")[0] == code not in _NO_LANGUAGES else None


def _known(tag: str) -> str | None:
    try:
        language(tag)
        return canonical_tag(tag)
    except (ValueError, UserError):
        return None


class TableCaption(NamedTuple):
    """A caption from a table."""

    file: Path
    lang: str | None
    line: TextLine


class _MediaRow(NamedTuple):
    line: TextLine
    item_id: str
    metadata: Mapping[str, Value]
    texts: Sequence[tuple[str | None, str]]
    """With their languages."""


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
            file, read = folder / path, _read_jsonl if path.endswith(".jsonl") else _read_table
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
            line, path, metadata, texts = row
            item_id = (folder / path).as_posix() if path else path
            seen.append((line.number, item_id))
            known = self.metadata.setdefault(item_id, {})
            others += [
                f"line {line.number}: {name} of {item_id!r} is {value!r}, before it was {known[name]!r}"
                for name, value in metadata.items()
                if known.get(name, value) != value
            ]
            known |= metadata
            captions = ((lang, _BREAKS.sub(" ", text).strip()) for lang, text in texts)
            found = [TableCaption(file, lang, line._replace(text=text)) for lang, text in captions if text]
            if found:
                self.captions.setdefault(item_id, []).extend(found)
        if others:
            self.oddities.append(f"{file}: {len(others)} values were said otherwise before; {others[0]}.")


def _read_table(file: Path, oddities: list[str]) -> Iterator[_MediaRow | TableFault]:
    # Cells at the end of a line that are empty may be left out, as spreadsheets do.
    header, rows = records(file, padded=True)
    key = header.index(_key(header))
    own = {header[key]} | ({"text", "lang"} if "text" in header else set())
    langs = {name: lang for name in header if name not in own and (lang := language_of(name)) is not None}
    place_of = {name: place for place, name in enumerate(header)}
    places = [place for name, place in place_of.items() if name and name not in own | langs.keys()]
    nameless = [place for place, name in enumerate(header) if not name]
    found = []
    long, lost = list[int](), list[int]()
    for number, raw, cells, fault in rows:
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
    for name in list(langs):
        # Two letters may name anything; numbers are no captions.
        texts = [cells[place_of[name]] for _, cells in found if not is_absent(cells[place_of[name]])]
        if texts and all(map(is_number, texts)):
            del langs[name]
    names = [name for name in place_of if name and name not in own | langs.keys()]
    places = [place_of[name] for name in names]
    for name, place in zip(names, places, strict=True):
        column = [(line.number, cells[place]) for line, cells in found if not is_absent(cells[place])]
        oddities.extend(_almost_numbers(file, name, column))
    # A column is one of numbers only where all of its cells are, so that the whole table is read first.
    noted = metadata_of_table(names, [[cells[place] for place in places] for _, cells in found])
    for (line, cells), metadata in zip(found, noted, strict=True):
        said = {name: cell for name, cell in zip(header, cells, strict=True) if not is_absent(cell)}
        try:
            captions = _captions_of(said, cells[place_of["lang"]] if "lang" in place_of else None, langs)
        except ValueError as error:
            yield TableFault(file, line.number, str(error))
            continue
        yield _MediaRow(line, _as_id(cells[key]), metadata, captions)


def _captions_of(
    said: Mapping[str, Any], lang: object, langs: Mapping[str, str]
) -> list[tuple[str | None, str]]:
    """Gather the captions of a row, `text` first. Raises ValueError."""
    found: list[tuple[str | None, str]] = []
    for name in ("text", *langs):
        value = said.get(name)
        texts = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"{name} is {value!r}, but a text or a list of texts was expected.")
        tag = langs.get(name) or (canonical_tag(str(lang)) if texts and lang else None)
        found += [(tag, text) for text in texts]
    return found


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
    own = {key} | ({"text", "lang"} if "text" in fields else set())
    # A number under the name of a language is none of its captions.
    langs = {
        name: lang
        for name, value in fields.items()
        if name not in own and isinstance(value, str | list) and (lang := language_of(name)) is not None
    }
    texts = _captions_of(fields, fields.get("lang"), langs)
    own |= langs.keys()
    more = metadata_of_json(
        {name: value for name, value in fields.items() if name not in own}, left_out=left_out
    )
    if not all(map(_is_utf8, (str(fields[key]), *map(str, (*more, *more.values()))))):
        raise UserError("half of a surrogate pair (\\ud800 to \\udfff) is no character. Correct it.")
    return _MediaRow(line, _as_id(str(fields[key])), more, texts)


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
