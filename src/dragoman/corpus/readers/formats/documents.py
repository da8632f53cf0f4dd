"""JSON documents that hold their records in one long list, read record by record.

Memory: some of the text and one record, as long as the document is sound.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.textfiles import TextLine, unpacked

# ijson was tried in place of this module. It is faster, but its memory grows with the square of the depth
# (100,000 open brackets killed the process), it has no text of a record for the reject file, and it ends at a
# lone surrogate, which here is the fault of a single caption.

PIECE = 1 << 20
"""Bytes that are read at a time."""

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Element(NamedTuple):
    """One record of a document; where `line.fault` is set there are no fields."""

    place: str
    line: TextLine
    fields: dict[str, object]


def entries(file: Path, key: str | None) -> Iterator[Element]:
    """Yield the objects of the list that the document is, or that it holds under `key`.

    Raises UserError where the file is no JSON document with that list.
    """
    document = _Document(file)
    wanted = file.name if key is None else f"{key!r} of {file.name}"
    place = f"{file}, {key or 'entry'}"
    try:
        if key is not None:
            document.enter(key)
        if not document.take("["):
            raise UserError(f"{file}: {wanted} is no list. Fetch the file anew.")
        for number, (value, raw) in enumerate(document.values("]"), 1):
            fault = None if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object."
            fields = value if isinstance(value, dict) else {}
            yield Element(f"{place} {number}", TextLine(0, raw, "", fault), fields)
    except json.JSONDecodeError as error:
        at = document.passed + error.pos + 1
        where = f"{error.msg}, character {at:,}"
        raise UserError(f"{file}: no valid JSON ({where}). Fetch the file anew.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: no valid JSON ({error}). Fetch the file anew.") from None


class _Document:
    """A text that is read piece by piece, and the place up to which it was taken."""

    def __init__(self, file: Path) -> None:
        self.passed = 0
        """Characters that are no longer held."""
        self._file = file
        self._pieces = _pieces(file)
        self._text, self._at = "", 0

    def enter(self, key: str) -> None:
        """Go to the value of a key of the outermost object."""
        if self.take("{"):
            while not self.take("}"):
                name, _ = self._value()
                self._expect(":")
                if name == key:
                    return
                self._skip()
                if not self.take(","):
                    self._expect("}")
                    break
        raise UserError(f"{self._file} holds no {key!r}. Check that it is the right file.")

    def values(self, end: str) -> Iterator[tuple[object, str]]:
        """Yield the values up to the closing bracket, each with its text."""
        if self.take(end):
            return
        while True:
            yield self._value()
            if self.take(end):
                return
            self._expect(",")

    def take(self, sign: str) -> bool:
        """Pass a sign if it comes next, and blanks before it."""
        while True:
            match = _BLANK.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) or not self._read_on():
                break
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _skip(self) -> None:
        # Element by element, so that a long list before the wanted one is never whole in memory.
        if self.take("["):
            for _ in self.values("]"):
                pass
        else:
            self._value()

    def _expect(self, sign: str) -> None:
        if not self.take(sign):
            raise json.JSONDecodeError(f"{sign!r} expected", self._text, self._at)

    def _value(self) -> tuple[object, str]:
        self.take("")
        while True:
            start = self._at
            try:
                value, end = _DECODER.raw_decode(self._text, start)
            except json.JSONDecodeError:
                # Cut off by the end of a piece, or wrong: at the end of the file it is told which.
                if not self._read_on():
                    raise
                continue
            # At the end of a piece a number may go on: `1` and `.5`, or `1` and `e+5`.
            if end + 2 >= len(self._text) and self._read_on():
                continue
            self._at = end
            return value, self._text[start:end]

    def _read_on(self) -> bool:
        """Hold as much more text as is held already, so that a long value is not begun too often.

        False, and nothing is changed, at the end of the file.
        """
        kept, more, count = self._text[self._at :], list[str](), 0
        while not more or count < len(kept):
            if (found := next(self._pieces, None)) is None:
                break
            more.append(found)
            count += len(found)
        if not more:
            return False
        self.passed += self._at
        self._text, self._at = kept + "".join(more), 0
        return True


def _pieces(file: Path) -> Iterator[str]:
    """Yield the text of a file, plain or gzip, without a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    fed = 0
    try:
        with unpacked(file) as stream:
            while data := stream.read(PIECE):
                fed += len(data)
                yield decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        at = fed - len(error.object) + error.start + 1
        raise UserError(f"{file}: byte {at} is not UTF-8. Save the file as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: the compressed data is damaged ({error}). Fetch the file anew.") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}. Give a readable file.") from None
