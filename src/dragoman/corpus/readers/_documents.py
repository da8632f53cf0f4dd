"""JSON documents that hold their records in one long list.

The text of a document is in memory, but of its records only one at a time.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.textfiles import TextLine

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Entry(NamedTuple):
    """One record of a document; where `line.fault` is set there are no fields."""

    place: str
    line: TextLine
    fields: dict[str, object]


def entries(file: Path, key: str | None) -> Iterator[Entry]:
    """Objects of the list that the document is, or that it holds under `key`.

    Raises UserError where the file is no JSON document with that list.
    """
    document = _Document(file)
    wanted = file.name if key is None else f"{key!r} of {file.name}"
    try:
        if key is not None:
            document.enter(key)
        if not document.take("["):
            raise UserError(f"{file}: {wanted} is no list. Fetch the file anew.")
        for number, (value, raw) in enumerate(document.values("]"), 1):
            fault = None if isinstance(value, dict) else f"a JSON {type(value).__name__}, not an object."
            fields = value if isinstance(value, dict) else {}
            yield Entry(f"{file}, {key or 'entry'} {number}", TextLine(0, raw, "", fault), fields)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: no valid JSON ({error}). Fetch the file anew.") from None


class _Document:
    """A text and the place up to which it was read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._text = _text(file)
        self._at = 0

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
        """Values up to the closing bracket, each with its text."""
        if self.take(end):
            return
        while True:
            yield self._value()
            if self.take(end):
                return
            self._expect(",")

    def take(self, sign: str) -> bool:
        """Pass a sign if it comes next."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
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
        start = self._at
        value, self._at = _DECODER.raw_decode(self._text, start)
        return value, self._text[start : self._at]


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: byte {error.start + 1} is not UTF-8. Save the file as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: the compressed data is damaged ({error}). Fetch the file anew.") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}. Give a readable file.") from None
