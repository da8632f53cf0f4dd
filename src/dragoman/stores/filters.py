"""Filters on metadata: `year>=2010 and (place in (Porto, "São Paulo") or not tag=night)`.

A comparison asks whether any value of a field satisfies it, so a field with several values equals each of
them. A field that an entry lacks satisfies nothing; `not` of it is true. Numbers compare with numbers, texts
with texts, true and false with themselves (never with 1 and 0); across kinds nothing is equal, less or more.
`kind`, `item_id` and `path` are fields as well, unless metadata has one of that name.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from unicodedata import normalize

from dragoman.errors import UserError
from dragoman.records import Entry, Scalar

Relation = Literal["=", "!=", "<", "<=", ">", ">="]


class _Told:
    """Equality of comparisons by what they ask: `x=1` and `x=true` ask for other things."""

    __slots__ = ()

    # To Python 1, 1.0 and True are equal, so that searches grouped by filter would get one another's answers.
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Told):
    """`field relation value`. `!=` is `not =`: it holds where the field is missing."""

    field: str
    relation: Relation
    value: Scalar

    def __post_init__(self) -> None:
        _check_operand(self.field)
        _check_operand(self.value)


@dataclass(frozen=True, slots=True, eq=False)
class In(_Told):
    """`field in (a, b)`"""

    field: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        for operand in (self.field, *self.values):
            _check_operand(operand)


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Filter, ...]


Filter = Compare | In | Not | And | Or

OWN_FIELDS = ("kind", "item_id", "path")
"""Fields that every entry has, unless metadata has one of that name."""
MAX_LENGTH = 10_000
MAX_DEPTH = 30
"""Limits of a filter's text, and of its brackets."""

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<mark><=|>=|!=|=|<|>|\(|\)|,)
      | (?P<quoted>"(?:[^"\\]|\\.)*"
          | (?:'(?:[^'\\]|\\.)+'|“[^“”]+”|„[^„“”]+[“”]|«[^«»]+»|‘[^‘’]+’)(?![^\s<>=!(),"]))
      | (?P<word>[^\s<>=!(),"]+)
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def compared_fields(filter: Filter) -> set[str]:
    """Names of the fields that a filter compares."""
    match filter:
        case Compare(field, _, _) | In(field, _):
            return {field}
        case Not(part):
            return compared_fields(part)
        case And(parts) | Or(parts):
            return set().union(*map(compared_fields, parts))


def satisfies(entry: Entry, filter: Filter | None) -> bool:
    """True where an entry passes: the plain meaning that the filters of every store are tested against."""
    match filter:
        case None:
            return True
        case Compare(field, "!=", value):
            return not satisfies(entry, Compare(field, "=", value))
        case Compare(field, "=", value):
            return any(_equal(found, value) for found in values_of(entry, field))
        case Compare(field, relation, value):
            return any(
                _ordered(found) == _ordered(value) is not None and _ORDER[relation](found, value)
                for found in values_of(entry, field)
            )
        case In(field, values):
            return any(_equal(found, value) for found in values_of(entry, field) for value in values)
        case Not(part):
            return not satisfies(entry, part)
        case And(parts):
            return all(satisfies(entry, part) for part in parts)
        case Or(parts):
            return any(satisfies(entry, part) for part in parts)


def values_of(entry: Entry, field: str) -> tuple[Scalar, ...]:
    """The values of a field; none where the entry lacks it."""
    own: Scalar | None = getattr(entry, field) if field in OWN_FIELDS else None
    found = entry.metadata.get(field, own)
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)


def _equal(found: Scalar, value: Scalar) -> bool:
    return isinstance(found, bool) == isinstance(value, bool) and found == value


def _ordered(value: Scalar) -> type | None:
    """Values that can be less or more than this one; truth has no order."""
    if isinstance(value, bool):
        return None
    return str if isinstance(value, str) else float


def _check_operand(value: Scalar) -> None:
    """Raise UserError for what a database cannot compare."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise UserError(f"The filter asks for {value[:60]!a}, which no field can hold. Remove it.")
    elif not math.isfinite(value) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise UserError(f"The filter asks for the number {value}; expected one of 64 bits.")


def parse(text: str) -> Filter:
    """The filter that a text describes.

    Words are `and`, `or`, `not`, `in`, `true`, `false`; a value that reads as a number is one, unless it is
    quoted. A text is equal to its other normal form (NFC, NFD). Raises UserError that shows where the text
    stops making sense.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"The filter has {len(text)} characters; at most {MAX_LENGTH} are read.")
    return _Parser(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


# By hand rather than by a grammar for `lark`: a message points at the character and shows an example, and
# length and depth are bounded before a filter from the network costs time or stack.
class _Parser:
    """Recursive descent over `or`, `and`, `not`, comparisons."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._split()
        self.place = 0
        self.depth = 0

    def whole(self) -> Filter:
        found = self._either()
        if self._peek().kind != "end":
            raise self._error("expected and, or, or the end")
        return found

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise self._complaint("cannot be read", at)
            kind = found.lastgroup or ""
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        return [*tokens, _Token("end", "", len(self.text))]

    def _either(self) -> Filter:
        parts = [self._both()]
        while self._accept("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Filter:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Filter:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels")
        if self._accept("not"):
            found: Filter = Not(self._one())
        elif self._accept("("):
            found = self._either()
            self._expect(")")
        else:
            found = self._comparison()
        self.depth -= 1
        return found

    def _comparison(self) -> Filter:
        field = self._peek()
        if field.kind not in ("word", "quoted"):
            raise self._error("expected the name of a field")
        self._next()
        if self._accept("in"):
            self._expect("(")
            values = [self._value()]
            while self._accept(","):
                values.append(self._value())
            self._expect(")")
            return In(_unescaped(field), _in_each_form(values))
        for relation in ("=", "!=", "<=", ">=", "<", ">"):
            if self._accept(relation):
                return _compared(_unescaped(field), relation, self._value())
        raise self._error("expected =, !=, <, <=, >, >= or in")

    def _value(self) -> Scalar:
        token = self._peek()
        if token.kind not in ("word", "quoted"):
            raise self._error("expected a value")
        self._next()
        if token.kind == "quoted":
            return _unescaped(token)
        if token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        if _NUMBER.fullmatch(token.text):
            return self._number(token)
        return token.text

    def _number(self, token: _Token) -> int | float:
        value = float(token.text)
        if not math.isfinite(value):
            raise self._complaint("the number is too large", token.at)
        # Whole numbers beyond 64 bits are none to the databases.
        whole = re.fullmatch(r"[+-]?\d+", token.text) and -(2**63) <= int(token.text) < 2**63
        return int(token.text) if whole else value

    def _peek(self) -> _Token:
        return self.tokens[self.place]

    def _next(self) -> None:
        self.place += 1

    def _accept(self, text: str) -> bool:
        token = self._peek()
        if token.kind not in ("word", "mark") or token.text.lower() != text:
            return False
        self._next()
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._error(f"expected {text}")

    def _error(self, reason: str) -> UserError:
        return self._complaint(reason, self._peek().at)

    def _complaint(self, reason: str, at: int) -> UserError:
        shown = self.text[at : at + 30] or "the end"
        return UserError(
            f"The filter stops making sense at character {at + 1} ({shown!r}): {reason}. "
            'Write for example: year>=2010 and place in (Porto, "São Paulo") and not tag=night'
        )


def _unescaped(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text


def _compared(field: str, relation: Relation, value: Scalar) -> Filter:
    forms = _in_each_form([value])
    if len(forms) == 1 or relation not in ("=", "!="):
        return Compare(field, relation, value)
    return In(field, forms) if relation == "=" else Not(In(field, forms))


def _in_each_form(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Texts as they were typed and in both normal forms, as names of files and tables may hold another."""
    found: list[Scalar] = []
    for value in values:
        forms = [normalize(form, value) for form in ("NFC", "NFD")] if isinstance(value, str) else []
        found += [value, *(form for form in dict.fromkeys(forms) if form != value)]
    return tuple(found)
