"""Text files as numbered lines, as JSON Lines, and as records of a table; plain or gzip."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from dragoman.errors import UserError

LONGEST_LINE = 1 << 24
"""Bytes. A file of another kind may hold no line end for gigabytes; it must not fill the memory."""


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, and unpack it where it begins like gzip, whatever its name."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        yield gzip.GzipFile(fileobj=plain) if zipped else plain  # type: ignore[misc]


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    r"""Yield number (from 1) and bytes of each line, without its `\n`.

    Only `\n` ends a line: captions hold Unicode line separators. In a file without any, `\r` does, as
    spreadsheets of a Macintosh still write it. A byte order mark is dropped; a file that begins like gzip is
    unpacked whatever its name, and one that begins as UTF-16, marked or not, comes as UTF-8. Raises UserError
    where the file cannot be read.
    """
    number = 0
    try:
        with unpacked(path) as file:
            wide = _wide(file.read(4))
            file.seek(0)
            text = io.TextIOWrapper(file, wide, newline="\n") if wide else None
            while line := text.readline(LONGEST_LINE).encode() if text else file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise UserError(
                        f"{path}, line {number}: longer than {LONGEST_LINE >> 20} MiB, so this is hardly a "
                        "text file of one record a line. Check that it is the right file."
                    )
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                    if not line.endswith(b"\n") and b"\r" in line:
                        yield from enumerate(line.removesuffix(b"\r").split(b"\r"), 1)
                        return
                yield number, line.removesuffix(b"\n")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Check the path.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a readable file.") from None
    except UnicodeError as error:
        raise UserError(
            f"{path} begins as UTF-16, but is damaged after line {number} ({error}). Save it as UTF-8."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: the compressed data is damaged after line {number} ({error}). "
            f"Fetch the file anew and check it: gzip -t {path}"
        ) from None


def _wide(head: bytes) -> str | None:
    """Name the encoding of a file by its first four bytes, where it is UTF-16."""
    # Spreadsheets and editors of Windows call it "Unicode text".
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    # Without a mark: most texts begin with letters or signs of Latin-1, of which one byte is zero.
    zero = [byte == 0 for byte in head]
    if zero in ([False, True], [False, True] * 2):
        return "utf-16-le"
    return "utf-16-be" if zero in ([True, False], [True, False] * 2) else None


class TextLine(NamedTuple):
    """A line as text without surrounding blanks, or why it is none."""

    number: int
    """From 1; 0 where the place is known otherwise."""
    raw: str | bytes
    text: str
    fault: str | None


def text_lines(path: Path) -> Iterator[TextLine]:
    """Yield the lines of `numbered_lines`, decoded."""
    for number, raw in numbered_lines(path):
        try:
            yield TextLine(number, raw, raw.decode("utf-8").strip(), None)
        except UnicodeDecodeError as error:
            yield TextLine(number, raw, "", _not_utf8(error))


def json_object(raw: bytes | str) -> tuple[dict[str, object], str | None]:
    """Read a line as one JSON object: its fields, or no fields and why."""
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(text, object_pairs_hook=unique_keys)
    except UnicodeDecodeError as error:
        return {}, _not_utf8(error)
    except (ValueError, RecursionError) as error:
        return {}, f"no valid JSON ({error}). One JSON object a line was expected."
    if not isinstance(value, dict):
        return {}, f"a JSON {type(value).__name__}, but an object with keys was expected."
    return value, None


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of JSON of its pairs, as `object_pairs_hook`. Raises ValueError for a key that stands
    twice, of which json would drop the first value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def json_lines(path: Path) -> Iterator[tuple[TextLine, dict[str, object]]]:
    """Yield lines that are not blank, each with its object; where `fault` is set there are no fields."""
    for line in text_lines(path):
        if line.text or line.fault is not None:
            fields, fault = json_object(line.raw)
            yield line._replace(fault=fault), fields


class TableRow(NamedTuple):
    """One record of a table, which may take several lines, or why it is none."""

    number: int
    """Place of its first line, from 1."""
    raw: str
    cells: list[str]
    """Stray bytes are lone surrogates, which no value may hold: a fault then names the value."""
    fault: str | None


def table(
    path: Path, delimiter: str | None = None, *, usual: str = ",", padded: bool = False
) -> tuple[list[str], Iterator[TableRow]]:
    """Read CSV: the cells of the header line, and the records that are not blank, of as many cells.

    Without a delimiter, the one that a first line `sep=;` names, else the usual one, or where the header does
    not hold it, a comma, semicolon or tab which it holds. Blanks around names of columns are
    dropped. With `padded`, a record may leave out cells at its end, which are then empty.

    Raises UserError where there is no header, or the file cannot be read.
    """
    lines = _Lines(path)
    first = lines.peek()
    # Excel reads this line, and programs that write for it put it there.
    if named := re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE):
        next(lines)
        delimiter = delimiter or named[1]
    delimiter = delimiter or _delimiter(first, usual)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UserError(f"{path}, line 1: no header line ({error}). Name the columns there.") from None
    if repeated := sorted(name for name, count in Counter(filter(None, header)).items() if count > 1):
        raise UserError(f"{path}, line 1: two columns are called {repeated[0]!r}. Rename one.")
    lines.take()
    return header, _records(lines, reader, delimiter, len(header), padded=padded)


def _delimiter(header: str, usual: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return next((sign for sign in (usual, ",", ";", "\t") if sign in bare), usual)


class _Lines:
    """Lines for the csv module, which may take several for one record, kept until they are asked for."""

    def __init__(self, path: Path) -> None:
        self._lines = numbered_lines(path)
        self._taken: list[str] = []
        self._number = 0
        self._ahead: list[tuple[int, bytes]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._number, raw = self._ahead.pop() if self._ahead else next(self._lines)
        self._taken.append(raw.decode("utf-8", "surrogateescape") + "\n")
        return self._taken[-1]

    def peek(self) -> str:
        """Return the next line without taking it; "" at the end."""
        self._ahead = [one] if (one := next(self._lines, None)) else []
        return self._ahead[0][1].decode("utf-8", "surrogateescape") if self._ahead else ""

    def take(self) -> tuple[int, str]:
        """Return the number of the first line taken since the last call, and the text of all of them."""
        first, text = self._number - len(self._taken) + 1, "".join(self._taken)
        self._taken.clear()
        return first, text.removesuffix("\n")


def _records(
    lines: _Lines, reader: Iterator[list[str]], delimiter: str, width: int, *, padded: bool
) -> Iterator[TableRow]:
    while True:
        fault = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, fault = [], f"not a record ({error}). Check the quotes and the delimiter {delimiter!r}."
        number, raw = lines.take()
        # Spreadsheets write empty rows as delimiters alone.
        if not fault and not any(cell.strip() for cell in cells):
            continue
        if padded and cells:
            cells += [""] * (width - len(cells))
        if not fault and len(cells) != width:
            fault = f"{len(cells)} cells, but the header has {width}. Quote cells that hold {delimiter!r}."
        elif rows := _swallowed(cells, delimiter, width):
            last = number + raw.count("\n")
            fault = (
                f"a quote opens a cell that goes on to line {last}, with {rows} in it. "
                'Close it, or write one that belongs to the text twice, within quotes: """Stop"" sign".'
            )
        yield TableRow(number, raw, cells, fault)


def _swallowed(cells: Sequence[str], delimiter: str, width: int) -> str | None:
    """Name what cells of several lines hold that hardly belongs to them: tabs, or further rows."""
    # Many tables with tabs are written without quoting, so that a quote that begins a cell is text. Taken for
    # one that opens, it swallows whole lines up to the next, and no cell is missing.
    if delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in cells):
        return "tabs"
    for at, cell in enumerate(cells):
        *whole, last = cell.split("\n")[1:] or [""]
        for further, line in enumerate([*whole, last], 1):
            # A return within a line ends a row for the module, which refuses one that is in no quotes.
            parts = next(csv.reader([line.replace("\r", " ")], delimiter=delimiter), [])
            # Of the last row only what stands before the quote is in this cell.
            if len(parts) == (width if further <= len(whole) else at + 1) > 1 and any(
                _follows(parts[place], cells[place], further) for place in (0, len(parts) - 1) if place != at
            ):
                return "rows"
    return None


def _follows(name: str, first: str, further: int) -> bool:
    """Tell whether a cell is the name of a file as the first one is, or the number so many rows below."""
    suffix = PurePosixPath(name).suffix
    if suffix and suffix == PurePosixPath(first).suffix:
        return " " not in name.strip()
    return name.isdecimal() and first.isdecimal() and int(name) - int(first) == further


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"byte {error.start + 1} ({error.object[error.start]:#04x}) is not UTF-8. Save the file as UTF-8."
