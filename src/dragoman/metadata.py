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

_ABSENT = frozenset({"nan", "n/a", "#n/a", "na", "#na", "<na>", "null", "none", "\\n", "nat"})


def is_absent(text: str) -> bool:
    """Tell if a text is empty, or what spreadsheets, databases and their libraries write for no value."""
    return not text or text.strip().lower() in _ABSENT


def metadata_of_json(
    values: Mapping[str, object], prefix: str = "", left_out: list[str] | None = None
) -> dict[str, Value]:
    """Give JSON as metadata: inner objects by names with dots, lists of plain values as several values.

    Whole numbers of more than 64 bits become texts. Nulls and empty lists are no values. What is none of all
    these, such as a list of objects, is left out, and its name added to `left_out`.
    """
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= metadata_of_json(value, f"{prefix}{name}.", left_out)
            continue
        listed = [
            _plain(one) for one in (value if isinstance(value, list | tuple) else [value]) if one is not None
        ]
        plain = [one for one in listed if one is not None]
        if len(plain) < len(listed):
            if left_out is not None:
                left_out.append(prefix + name)
        elif plain:
            found[prefix + name] = _of_one_sort(plain) if isinstance(value, list | tuple) else plain[0]
    return found


def metadata_of_table(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[dict[str, Value]]:
    """Give the records of a table of texts as metadata; `rows` have a cell for each of `names`."""
    columns = [column_values([row[place] for row in rows]) for place in range(len(names))]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in (zip(*columns, strict=True) if columns else [()] * len(rows))
    ]


def column_values(texts: Sequence[str | None]) -> list[Scalar | None]:
    """Give a column of a table as numbers where all of its values read as numbers; empty ones become None.

    In a column of numbers, `nan`, `N/A` and the like are empty.
    """
    present = [text for text in texts if text and not is_absent(text)]
    if not present or not all(is_number(text) for text in present):
        return [text or None for text in texts]
    return [None if text is None or is_absent(text) else number(text) for text in texts]


def is_number(text: str) -> bool:
    """Tell if a text of a table reads as a number."""
    if _NUMBER.fullmatch(text) is None:
        return False
    # 12e400 has the form of a number, but is larger than any that is kept; a whole one of more than 64 bits
    # is the name of something, and another number would be kept in its place.
    if text.lstrip("-").isdecimal():
        return len(text) <= 20 and abs(int(text)) < 2**63
    return math.isfinite(float(text))


def number(text: str) -> int | float:
    """Read a whole number as int, any other as float."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _of_one_sort(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    # A column of a corpus holds lists of one type; what is mixed is kept as texts.
    if len({float if type(value) is int else type(value) for value in values}) == 1:
        return tuple(values)
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _plain(value: object) -> Scalar | None:
    """A value that filters understand, or None where there is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value if isinstance(value, int | str) else None
