"""Spreadsheets (.xlsx, .ods) as records of a table: the cells of their first sheet as texts.

A file of some kilobytes may unpack to gigabytes, or hold one cell a million rows away, so that sizes are
checked before anything is unpacked, and rows are read one by one. The library python-calamine (0.9.1) was
judged for this file: it reads both formats, but allocates the whole rectangle of a sheet, and ends the
process where there is no room for it. Of OpenDocument, odfpy reads whole documents and rests since 2020.
"""

from __future__ import annotations

import csv
import datetime
import io
import logging
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.parsers import expat

from dragoman import errors
from dragoman.errors import UserError
from dragoman.folders import atomic_path
from dragoman.textfiles import TableRow, table

log = logging.getLogger(__name__)

SUFFIXES = (".xlsx", ".ods")
LARGEST = 256_000_000
"""Bytes of all parts of a file, unpacked."""
MOST_COLUMNS = 1000
MOST_ROWS = 1_000_000
"""Rows that hold something."""
_MOST_EMPTY = 10_000
"""Empty rows behind one another; what comes behind more of them was not meant."""
_MOST_REPEATS = 10_000
"""Equal rows that a file of OpenDocument writes as one."""
_BLOCK = 1 << 16
_FAILED = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"})
"""Results of formulas that have none."""

_FORMULA = tuple("=+-@\t\r")
"""Beginnings of formulas."""

_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0 "
_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0 "
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0 "
_VALUES = {"float": "value", "percentage": "value", "currency": "value", "date": "date-value"}
_VALUES |= {"boolean": "boolean-value", "time": "time-value"}


def records(
    path: Path, delimiter: str | None = None, *, usual: str = ",", padded: bool = False
) -> tuple[list[str], Iterator[TableRow]]:
    """Read a table: a spreadsheet by its suffix, anything else as `textfiles.table` does.

    Returns the cells of the header line, and the records that are not blank. Of a spreadsheet, that is its
    first sheet, and the header its first row with something in it; numbers stand as they are written in JSON,
    dates as in ISO 8601. Raises UserError where there is no header, or the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".xls":
        raise UserError(f"{path} is in the old format of Excel. Save it as .xlsx, .ods or .csv.")
    if suffix not in SUFFIXES:
        return table(path, delimiter, usual=usual, padded=padded)
    rows = _numbered(path)
    number, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    if not header:
        raise UserError(f"{path}: the first sheet is empty. Name the columns in its first row.")
    if repeated := sorted(name for name, count in Counter(filter(None, header)).items() if count > 1):
        raise UserError(f"{path}, row {number}: two columns are called {repeated[0]!r}. Rename one.")
    return header, _records(rows, len(header))


def write_records(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, atomically: .xlsx, or .csv with the mark by which spreadsheets know UTF-8.

    Raises UserError for another suffix, and for .xlsx where openpyxl is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in (".xlsx", ".csv"):
        raise UserError(f"{path}: a sheet is written as .xlsx or .csv. Give it such a name.")
    if suffix == ".csv":
        content = io.StringIO()
        writer = csv.writer(content)
        writer.writerow(header)
        writer.writerows([guarded(cell) for cell in row] for row in rows)
        with atomic_path(path) as temporary:
            temporary.write_text(content.getvalue(), encoding="utf-8-sig", newline="")
        return
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.utils.exceptions import IllegalCharacterError
    except ImportError:
        raise UserError(f"{path}: openpyxl is missing: pip install 'dragoman[sheets]', or .csv") from None
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (header, *rows):
        cells = []
        for value in row:
            try:
                cell = WriteOnlyCell(sheet, value)
            except IllegalCharacterError:
                cell = WriteOnlyCell(sheet, "".join(one for one in str(value) if one.isprintable()))
            if isinstance(value, str):
                # A text that begins with = is no formula.
                cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        book.save(file)


def guarded(cell: object) -> object:
    """Return the cell of a table so that spreadsheets take no text for a formula."""
    # They run what begins like one (OWASP, CSV injection), and captions may come from anyone.
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


def unguarded(cell: str) -> str:
    """Return the text that `guarded` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


def _records(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[TableRow]:
    for number, cells in rows:
        fault = None
        if len(cells) > width:
            fault = f"{len(cells)} cells, but the header has {width}. Name all columns in the header."
        yield TableRow(number, "", cells + [""] * (width - len(cells)), fault)


def _numbered(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold something, up to their last cell that does, with their numbers from 1."""
    try:
        _require_small(path)
        found = _xlsx(path) if path.suffix.lower() == ".xlsx" else _ods(path)
        for count, (number, cells) in enumerate(found):
            if count == MOST_ROWS:
                raise UserError(f"{path} has more than {MOST_ROWS:,} rows. Cut it into several files.")
            yield number, cells
    except (UserError, ImportError, FileNotFoundError) as error:
        if isinstance(error, ImportError):
            raise UserError(f"{path}: openpyxl is missing: pip install 'dragoman[sheets]'") from None
        if isinstance(error, FileNotFoundError):
            raise UserError(f"{path} does not exist. Check the path.") from None
        raise
    except Exception as error:
        # Readers of formats of others raise nearly anything on damaged files.
        raise UserError(
            f"{path} is no spreadsheet that can be read ({errors.reason(error)}). Save it anew, or as CSV."
        ) from None


def _require_small(path: Path) -> None:
    # No more than it says is read of any part, by zipfile.
    with zipfile.ZipFile(path) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > LARGEST:
        raise UserError(
            f"{path} unpacks to {size:,} bytes, more than {LARGEST:,} (a decompression bomb, or a large "
            "table: save it as CSV)."
        )


def _filled(path: Path, cells: Sequence[str]) -> list[str]:
    """Give cells up to the last one that holds something."""
    kept = list(cells)
    while kept and not kept[-1].strip():
        kept.pop()
    if len(kept) > MOST_COLUMNS:
        raise UserError(f"{path} has {len(kept):,} columns, more than {MOST_COLUMNS:,}. Remove some.")
    return kept


def _xlsx(path: Path) -> Iterator[tuple[int, list[str]]]:
    from openpyxl import load_workbook

    with _quiet():
        book = load_workbook(path, read_only=True, data_only=True)
    try:
        sheet = next((one for one in book.worksheets if one.sheet_state == "visible"), None)
        if sheet is None:
            return
        if others := len(book.worksheets) - 1:
            log.info("%s: read is the sheet %r, not the other %d", path, sheet.title, others)
        # What a file says of its size need not be true.
        sheet.reset_dimensions()
        rows, number, empty = sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True), 0, 0
        while empty <= _MOST_EMPTY:
            with _quiet():
                row = next(rows, None)
            if row is None:
                return
            cells, number = _filled(path, [_text(value) for value in row]), number + 1
            empty = 0 if cells else empty + 1
            if cells:
                yield number, cells
    finally:
        book.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence openpyxl, which warns of what it leaves out, such as rules for what may be typed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return "" if value is None or value in _FAILED else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def _ods(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Read a spreadsheet of OpenDocument (ISO 26300-1:2015, section 9)."""
    number, empty = 1, 0
    with zipfile.ZipFile(path) as parts, parts.open("content.xml") as content:
        sheet = _Sheet()
        while not sheet.is_over:
            block = content.read(_BLOCK)
            sheet.parser.Parse(block, not block)
            for cells, repeats in sheet.take():
                kept = _filled(path, cells)
                if kept and repeats > _MOST_REPEATS:
                    raise UserError(f"{path}, row {number}: it stands there {repeats:,} times. Remove some.")
                for again in range(repeats if kept else 0):
                    yield number + again, kept
                number, empty = number + repeats, 0 if kept else empty + repeats
            if not block:
                return


class _Sheet:
    """Rows of the first sheet, as they are parsed, each with the number of times that it stands there."""

    def __init__(self) -> None:
        self.is_over = False
        self._rows: list[tuple[list[str], int]] = []
        self._row: list[str] | None = None
        self._depth = self._aside = 0
        self._cell: list[str] | None = None
        self._repeats = self._columns = 1
        self._value: str | None = None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._start, self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.StartDoctypeDeclHandler = self._doctype

    def take(self) -> list[tuple[list[str], int]]:
        """Give the rows that came since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _doctype(self, *of: object) -> None:
        raise ValueError("it declares a document type, which OpenDocument has not")

    def _start(self, name: str, said: dict[str, str]) -> None:
        if self.is_over or self._aside or name == f"{_OFFICE}annotation":
            # A comment on a cell stands within it.
            self._aside += not self.is_over
        elif name == f"{_TABLE}table-row":
            self._row, self._repeats = [], _count(said, f"{_TABLE}number-rows-repeated")
        elif name in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell") and self._row is not None:
            self._cell, self._columns = [], _count(said, f"{_TABLE}number-columns-repeated")
            kind = said.get(f"{_OFFICE}value-type", "")
            self._value = said.get(_OFFICE + _VALUES.get(kind, "string-value"))
            if kind == "date" and self._value:
                self._value = self._value.removesuffix("T00:00:00")
            elif kind in ("float", "percentage", "currency") and self._value:
                self._value = _text(float(self._value))
        elif self._cell is not None:
            if name == f"{_TEXT}p" and self._cell:
                self._cell.append("\n")
            elif name == f"{_TEXT}s":
                self._cell.append(" " * min(_count(said, f"{_TEXT}c"), 100))
            elif name in (f"{_TEXT}tab", f"{_TEXT}line-break"):
                self._cell.append(" ")

    def _end(self, name: str) -> None:
        if self._aside:
            self._aside -= 1
        elif name == f"{_TABLE}table":
            self.is_over = True
        elif name == f"{_TABLE}table-row" and self._row is not None:
            self._rows.append((self._row, self._repeats))
            self._row = None
        elif self._cell is not None and name in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            text = "".join(self._cell) if self._value is None else self._value
            # Empty cells fill a sheet up to its last column, which may be the 16,384th.
            most = MOST_COLUMNS + 1 - len(self._row or ())
            if self._row is not None:
                self._row += [text] * min(self._columns, most)
            self._cell = None

    def _data(self, text: str) -> None:
        if self._cell is not None and not self._aside and not self.is_over:
            self._cell.append(text)


def _count(said: dict[str, str], name: str) -> int:
    value = said.get(name, "1")
    return int(value) if value.isdecimal() and len(value) < 9 else 1
