"""Text files as numbered lines, as JSON Lines, and as records of a table; plain or gzip."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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

    Only `\n` ends a line: captions hold Unicode line separators. A byte order mark is dropped; a file that
    begins like gzip is unpacked whatever its name, and one that begins as UTF-16 comes as UTF-8. Raises
    UserError where the file cannot be read.
    """
    number = 0
    try:
        with unpacked(path) as file:
            wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            file.seek(0)
            # Spreadsheets and editors of Windows call UTF-16 "Unicode text".
            text = io.TextIOWrapper(file, "utf-16", newline="\n") if wide else None
            while line := text.readline(LONGEST_LINE).encode() if text else file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise UserError(
                        f"{path}, line {number}: longer than {LONGEST_LINE >> 20} MiB, so this is hardly a "
                        "text file of one record a line. Check that it is the right file."
                    )
                yield (
                    number,
                    (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).removesuffix(b"\n"),
                )
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
        value = json.loads(raw.decode("utf-8") if isinstance(raw, bytes) else raw)
    except UnicodeDecodeError as error:
        return {}, _not_utf8(error)
    except (ValueError, RecursionError) as error:
        return {}, f"no valid JSON ({error}). One JSON object a line was expected."
    if not isinstance(value, dict):
        return {}, f"a JSON {type(value).__name__}, but an object with keys was expected."
    return value, None


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


def table(path: Path, delimiter: str = ",", *, padded: bool = False) -> tuple[list[str], Iterator[TableRow]]:
    """Read CSV: the cells of the header line, and the records that are not blank, of as many cells.

    With `padded`, a record may leave out cells at its end, which are then empty.

    Raises UserError where there is no header, or the file cannot be read.
    """
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise UserError(f"{path}, line 1: no header line ({error}). Name the columns there.") from None
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise UserError(f"{path}, line 1: two columns are called {repeated[0]!r}. Rename one.")
    lines.take()
    return header, _records(lines, reader, delimiter, len(header), padded=padded)


class _Lines:
    """Lines for the csv module, which may take several for one record, kept until they are asked for."""

    def __init__(self, path: Path) -> None:
        self._lines = numbered_lines(path)
        self._taken: list[str] = []
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._number, raw = next(self._lines)
        self._taken.append(raw.decode("utf-8", "surrogateescape") + "\n")
        return self._taken[-1]

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
        if padded and cells:
            cells += [""] * (width - len(cells))
        if cells and len(cells) != width:
            fault = f"{len(cells)} cells, but the header has {width}. Quote cells that hold {delimiter!r}."
        elif delimiter == "\t" and any("\t" in cell and "\n" in cell for cell in cells):
            # Many tables with tabs are written without quoting, so that a quote that begins a cell is text.
            # Taken for one that opens, it swallows whole lines up to the next, and no cell is missing.
            fault = (
                f"a quote opens a cell that goes on to line {number + raw.count(chr(10))}, with tabs in it. "
                'Close it, or write one that belongs to the text twice, within quotes: """Stop"" sign".'
            )
        # Spreadsheets write empty rows as delimiters alone.
        if any(cells) or fault:
            yield TableRow(number, raw, cells, fault)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"byte {error.start + 1} ({error.object[error.start]:#04x}) is not UTF-8. Save the file as UTF-8."
