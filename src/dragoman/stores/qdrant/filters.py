"""Filters as conditions of Qdrant, and where they cannot be, as wider ones.

A point carries each value of a field as a token (`["place", "Porto"]`) for equality, and each number beside
its field for ranges: so any field name will do, and 2 equals 2.0, which Qdrant's own matching denies. Texts
in order, and numbers beyond 2**53, which Qdrant rounds, are left to `satisfies`.
"""

from __future__ import annotations

import hashlib
import json

from qdrant_client import models

from dragoman.records import Entry, Scalar
from dragoman.stores.filters import And, Compare, Filter, In, Not, Or, Relation
from dragoman.stores.servers import fields_of, plain

TOKENS, NUMBERS = "tokens", "numbers"
LONGEST_TOKEN = 256
EXACT_NUMBERS = 2**53
"""Whole numbers up to here are the same in double precision."""
EVERYTHING = models.Filter(must=[])
NOTHING = models.HasIdCondition(has_id=[])

_BOUNDS: dict[Relation, str] = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def tokens_of(entry: Entry) -> list[str]:
    """Tokens of an entry that equality compares."""
    return [_token(name, value) for name, values in fields_of(entry).items() for value in values]


def numbers_of(entry: Entry) -> list[dict[str, object]]:
    """Numbers of an entry that ranges compare."""
    return [
        {"field": name, "value": float(value)}
        for name, values in fields_of(entry).items()
        for value in values
        if not isinstance(value, (str, bool))
    ]


def is_exact(filter: Filter | None) -> bool:
    """True where `condition_of` says all that the filter says."""
    match filter:
        case Compare(_, "=" | "!=", _):
            return True
        case Compare(_, _, value):
            return isinstance(value, bool) or _small(value)
        case Not(part):
            return is_exact(part)
        case And(parts) | Or(parts):
            return all(is_exact(part) for part in parts)
        case _:
            return True


def condition_of(filter: Filter | None, wide: bool = True) -> models.Condition:
    """A condition that all points meet which pass the filter, and where it is exact, no others.

    With `wide` false: one that only points meet which pass the filter; needed where it is negated.
    """
    match filter:
        case None:
            return EVERYTHING
        case Compare(field, "=", value):
            return condition_of(In(field, (value,)), wide)
        case Compare(field, "!=", value):
            return condition_of(Not(In(field, (value,))), wide)
        case Compare(field, relation, value):
            if isinstance(value, bool):
                return NOTHING
            if not _small(value):
                return EVERYTHING if wide else NOTHING
            return _range(field, relation, float(value))
        case In(field, values):
            tokens = [_token(field, value) for value in values]
            if not tokens:
                return NOTHING
            return models.FieldCondition(key=TOKENS, match=models.MatchAny(any=tokens))
        case Not(part):
            return models.Filter(must_not=[condition_of(part, not wide)])
        case And(parts):
            return models.Filter(must=[condition_of(part, wide) for part in parts])
        case Or(parts):
            # Without alternatives, Qdrant would take every point.
            return models.Filter(should=[condition_of(part, wide) for part in parts]) if parts else NOTHING


def _range(field: str, relation: Relation, value: float) -> models.Condition:
    named = models.FieldCondition(key="field", match=models.MatchValue(value=field))
    bounded = models.FieldCondition(key="value", range=models.Range(**{_BOUNDS[relation]: value}))
    return models.NestedCondition(
        nested=models.Nested(key=NUMBERS, filter=models.Filter(must=[named, bounded]))
    )


def _small(value: Scalar) -> bool:
    return not isinstance(value, str) and abs(value) < EXACT_NUMBERS


def _token(field: str, value: Scalar) -> str:
    text = json.dumps([field, plain(value)])
    return text if len(text) <= LONGEST_TOKEN else hashlib.sha256(text.encode()).hexdigest()
