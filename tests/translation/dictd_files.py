"""Dictionaries in the format of dictd, written for tests."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def number(value: int) -> str:
    """A number of the index, by repeated division."""
    digits = ""
    while value or not digits:
        value, digit = divmod(value, 64)
        digits = DIGITS[digit] + digits
    return digits


def write_dictd(base: Path, entries: Mapping[str, str] | Sequence[tuple[str, str]]) -> Path:
    """Write `base`.index and `base`.dict.dz, each entry by the word that leads to it; return the base."""
    pairs = list(entries.items()) if isinstance(entries, Mapping) else list(entries)
    text, lines = b"", []
    for word, entry in [("00databaseinfo", "A dictionary\n"), *pairs]:
        lines.append(f"{word}\t{number(len(text))}\t{number(len(entry.encode()))}\n")
        text += entry.encode()
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_name(f"{base.name}.dict.dz").write_bytes(gzip.compress(text))
    base.with_name(f"{base.name}.index").write_text("".join(lines), encoding="utf-8")
    return base


def write_table(path: Path, *rows: str, head: str = "en\tpt") -> Path:
    """Write a table of words; each row as `dog = cão, cachorro`."""
    path.write_text("".join(row.replace(" = ", "\t") + "\n" for row in (head, *rows)), encoding="utf-8")
    return path
