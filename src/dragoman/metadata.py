"""Metadata of items from JSON and from tables, as values that filters understand.

A value is a text, a number, true or false, or several of one sort; a field that is unknown is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from dragoman.records import Scalar, Value

# No leading zeros: 007 is a name.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def metadata_of_json(values: Mapping[str, object], prefix: str = "") -> dict[str, Value]:
    """Give JSON as metadata: inner objects by names with dots, lists of plain values as several values.

    Nulls, empty lists and lists of anything else are left out.
    """
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= metadata_of_json(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            if value and all(_is_plain(one) for one in value):
                found[prefix + name] = _of_one_sort(value)
        elif _is_plain(value):
            found[prefix + name] = value  # type: ignore[assignment]
    return found


def metadata_of_table(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[dict[str, Value]]:
    """Give the records of a table of texts as metadata; `rows` have a cell for each of `names`."""
    columns = [column_values([row[place] for row in rows]) for place in range(len(names))]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in (zip(*columns, strict=True) if columns else [()] * len(rows))
    ]


def column_values(texts: Sequence[str | None]) -> list[Scalar | None]:
    """Give a column of a table as numbers where all of its values read as numbers; empty ones become None."""
    present = [text for text in texts if text]
    if not present or not all(is_number(text) for text in present):
        return [text or None for text in texts]
    return [number(text) if text else None for text in texts]


def is_number(text: str) -> bool:
    """Tell if a text of a table reads as a number."""
    # 12e400 has the form of a number, but is larger than any that is kept.
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def number(text: str) -> int | float:
    """Read a whole number that fits 64 bits as int, any other as float."""
    value = float(text)
    whole = re.fullmatch(r"-?\d+", text) and abs(value) < 2**63
    return int(text) if whole else value


def _of_one_sort(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    # A column of a corpus holds lists of one type; what is mixed is kept as texts.
    if len({float if type(value) is int else type(value) for value in values}) == 1:
        return tuple(values)
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, str)
