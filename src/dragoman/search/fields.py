"""Fields that a filter names, beside what the entries of an index have: a filter that asks amiss is told.

An unknown field, or a number asked of a field of texts, finds nothing, or with `not` everything. Neither is
wrong, but nobody who typed it meant it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from time import monotonic
from typing import NamedTuple

from dragoman.messages import Message
from dragoman.records import Scalar
from dragoman.stores import Filter, Store
from dragoman.stores.filters import OWN_FIELDS, And, Compare, In, Not, Or, values_of

SECONDS = 60.0
"""Time for which the sorts of values of a field are taken to be known."""
SAMPLE = 50
"""Entries whose fields are looked at for a name like one that is unknown."""
_TEXT, _NUMBER, _TRUTH = "texts", "numbers", "true and false"


class _Sorts(NamedTuple):
    """Sorts of values that a field has, with an example of each."""

    examples: dict[str, Scalar]
    until: float


class KnownFields:
    """Sorts of values of the fields of a store, asked for when a filter first names them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Without a lock, which a child forked from a busy parent might find held: two who ask at once do the
        # same work, and write the same.
        self._known: dict[str, _Sorts] = {}

    def warnings(self, chosen: Filter | None) -> tuple[Message, ...]:
        """Tell of comparisons that ask what no entry can satisfy, one line a field."""
        if chosen is None:
            return ()
        told: dict[str, Message] = {}
        for field, value in _comparisons(chosen):
            if field not in told and (line := self._told(field, value)):
                told[field] = line
        return tuple(told.values())

    def _told(self, field: str, value: Scalar) -> Message | None:
        if field in OWN_FIELDS:
            return None
        examples = self._examples(field)
        if not examples:
            return _unknown(self._store, field)
        sort, text = _sort(value), examples.get(_TEXT)
        if sort != _TEXT and text is not None:
            asked = str(value) if sort == _NUMBER else str(value).lower()
            return Message(
                "field_texts",
                field=field,
                example=_quoted(text),
                asked=asked,
                quoted=f'{field}="{_short(text)}"',
            )
        if sort not in examples:
            other, example = next(iter(examples.items()))
            code = "field_numbers" if other == _NUMBER else "field_truths"
            return Message(code, field=field, example=_quoted(example), asked=_quoted(value))
        if sort == _TEXT and _NUMBER in examples and _reads_as_number(str(value)):
            example = examples[_NUMBER]
            return Message("field_numbers_too", field=field, example=_quoted(example), asked=_quoted(value))
        if sort == _TEXT and _TRUTH in examples and str(value).lower() in ("true", "false"):
            return Message("field_truths_too", field=field, asked=_quoted(value))
        return None

    def _examples(self, field: str) -> dict[str, Scalar]:
        known = self._known.get(field)
        if known is not None and monotonic() < known.until:
            return known.examples
        asked: dict[str, Filter] = {
            _NUMBER: Compare(field, ">=", -sys.float_info.max),
            _TEXT: Compare(field, ">=", ""),
            _TRUTH: In(field, (True, False)),
        }
        found: dict[str, Scalar] = {}
        for sort, filter in asked.items():
            for entry in self._store.scan(limit=1, filter=filter):
                found[sort] = next(one for one in values_of(entry, field) if _sort(one) == sort)
        # What is unknown may be added at any time, and must not be told of then.
        if found:
            self._known[field] = _Sorts(found, monotonic() + SECONDS)
        return found


def _comparisons(chosen: Filter) -> Iterator[tuple[str, Scalar]]:
    match chosen:
        case Compare(field, _, value):
            yield field, value
        case In(field, values):
            yield from ((field, value) for value in values)
        case Not(part):
            yield from _comparisons(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _comparisons(part)


def _unknown(store: Store, field: str) -> Message | None:
    entries = store.scan(limit=SAMPLE)
    if not entries:
        return None
    names = sorted({*OWN_FIELDS, *(name for entry in entries for name in entry.metadata)})
    near = get_close_matches(field, names, 1)
    if near:
        return Message("field_unknown_near", field=_quoted(field), near=near[0])
    return Message("field_unknown", field=_quoted(field))


def _short(value: Scalar) -> Scalar:
    return f"{value[:40]}…" if isinstance(value, str) and len(value) > 40 else value


def _quoted(value: Scalar) -> str:
    return repr(_short(value))


def _sort(value: Scalar) -> str:
    return _TRUTH if isinstance(value, bool) else _TEXT if isinstance(value, str) else _NUMBER


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
