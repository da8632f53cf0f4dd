"""The language of filters: what it means, and what it says of text that means nothing."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.records import Entry, Scalar
from dragoman.stores import Filter, parse
from dragoman.stores.filters import MAX_DEPTH, MAX_LENGTH, And, Compare, In, Not, Or, satisfies

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
VALUE = st.one_of(
    TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
RELATION: st.SearchStrategy[Any] = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
COMPARISON: st.SearchStrategy[Filter] = st.builds(Compare, TEXT, RELATION, VALUE) | st.builds(
    In, TEXT, st.lists(VALUE, min_size=1, max_size=4).map(tuple)
)


def larger(part: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(part, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, part) | st.builds(And, several) | st.builds(Or, several)


FILTERS = st.recursive(COMPARISON, larger, max_leaves=8)


def written(filter: Filter) -> str:
    """A filter as text, with every bracket that could be needed."""
    match filter:
        case Compare(field, relation, value):
            return f"{quoted(field)} {relation} {literal(value)}"
        case In(field, values):
            return f"{quoted(field)} in ({', '.join(map(literal, values))})"
        case Not(part):
            return f"not ({written(part)})"
        case And(parts):
            return "(" + " and ".join(map(written, parts)) + ")"
        case Or(parts):
            return "(" + " or ".join(map(written, parts)) + ")"


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


@given(FILTERS)
@settings(deadline=None)
def test_a_filter_that_is_written_down_is_read_as_it_was(filter: Filter) -> None:
    # By repr, since 1, 1.0 and True are equal.
    assert repr(parse(written(filter))) == repr(in_each_form(filter))


def in_each_form(filter: Filter) -> Filter:
    """What a filter asks for where a text is equal to its other normal forms."""
    match filter:
        case Compare(field, "=" | "!=" as relation, str(value)) if len(forms(value)) > 1:
            found = In(field, tuple(forms(value)))
            return found if relation == "=" else Not(found)
        case In(field, values):
            return In(
                field,
                tuple(form for one in values for form in (forms(one) if isinstance(one, str) else [one])),
            )
        case Not(part):
            return Not(in_each_form(part))
        case And(parts):
            return And(tuple(map(in_each_form, parts)))
        case Or(parts):
            return Or(tuple(map(in_each_form, parts)))
    return filter


def forms(text: str) -> list[str]:
    others = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    return [text, *sorted({*others} - {text}, key=others.index)]


@given(st.text(st.sampled_from('ab =!<>()",\\\n01.e-+andorti\ud800\0é٣'), max_size=40) | st.text(max_size=40))
@settings(deadline=None, max_examples=150)
def test_any_text_is_a_filter_or_a_complaint(text: str) -> None:
    try:
        satisfies(Entry(item_id="a", metadata={"a": 1, "b": ("x", True)}), parse(text))
    except UserError as error:
        assert str(error)[:11] == "The filter "


@given(FILTERS, st.data())
@settings(deadline=None)
def test_a_filter_with_a_letter_lost_is_a_filter_or_a_complaint(filter: Filter, data: st.DataObject) -> None:
    text = written(filter)
    lost = data.draw(st.integers(0, len(text) - 1))
    try:
        parse(text[:lost] + text[lost + 1 :])
    except UserError as error:
        assert "stops making sense at character" in str(error)


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ("year>=2010", Compare("year", ">=", 2010)),
        ("year = 2010.0", Compare("year", "=", 2010.0)),
        ('year="2010"', Compare("year", "=", "2010")),
        ("new=true", Compare("new", "=", True)),
        ("new=TRUE", Compare("new", "=", True)),
        ('new="true"', Compare("new", "=", "true")),
        ("x=9223372036854775807", Compare("x", "=", 2**63 - 1)),
        ("x=-9223372036854775808", Compare("x", "=", -(2**63))),
        ("x=9223372036854775808", Compare("x", "=", 2.0**63)),
        ("x=-1.5e-3", Compare("x", "=", -0.0015)),
        ("x=2024-05-01", Compare("x", "=", "2024-05-01")),
        ("place=Sao", Compare("place", "=", "Sao")),
        ("place=S\u00e3o", In("place", ("S\u00e3o", "Sa\u0303o"))),
        ("place!=Sa\u0303o", Not(In("place", ("Sa\u0303o", "S\u00e3o")))),
        ("place in (S\u00e3o, 1, true)", In("place", ("S\u00e3o", "Sa\u0303o", 1, True))),
        ("place<S\u00e3o", Compare("place", "<", "S\u00e3o")),
        ("place='New York'", Compare("place", "=", "New York")),
        (r"'a field'='it\'s 1'", Compare("a field", "=", "it's 1")),
        ("year='2010'", Compare("year", "=", "2010")),
        ("a in (“b c”, „d e“, „d e”, «f», ‘g’)", In("a", ("b c", "d e", "d e", "f", "g"))),
        ("a=O'Brien and b='tis", And((Compare("a", "=", "O'Brien"), Compare("b", "=", "'tis")))),
        ('"a field"=1', Compare("a field", "=", 1)),
        ('"and"=1 and "in" in (2)', And((Compare("and", "=", 1), In("in", (2,))))),
        (r'a="\"\\x"', Compare("a", "=", '"\\x')),
        (
            "a=1 or b=2 and not c=3",
            Or((Compare("a", "=", 1), And((Compare("b", "=", 2), Not(Compare("c", "=", 3)))))),
        ),
        (
            "(a=1 OR b=2) AND c IN (x, 3)",
            And((Or((Compare("a", "=", 1), Compare("b", "=", 2))), In("c", ("x", 3)))),
        ),
    ],
)
def test_text_means_what_a_reader_expects(text: str, filter: Filter) -> None:
    assert repr(parse(text)) == repr(filter)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", 1, "expected the name of a field"),
        ("year", 5, "expected =, !=, <, <=, >, >= or in"),
        ("year>=", 7, "expected a value"),
        ("year>=2010 place=x", 12, "expected and, or, or the end"),
        ("(a=1", 5, "expected )"),
        ("a=1)", 4, "expected and, or, or the end"),
        ("a in x", 6, "expected ("),
        ("a in (x y)", 9, "expected )"),
        ("a in ()", 7, "expected a value"),
        ("a = = 1", 5, "expected a value"),
        ('a="open', 3, "cannot be read"),
        ("a=1 and", 8, "expected the name of a field"),
        ("a!1", 2, "cannot be read"),
        ("a=1e999", 3, "the number is too large"),
        ("=1", 1, "expected the name of a field"),
    ],
)
def test_a_complaint_names_the_place_and_the_reason(text: str, place: int, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    shown = text[place - 1 : place + 29] or "the end"
    assert str(caught.value).startswith(
        f"The filter stops making sense at character {place} ({shown!r}): {reason}. Write for example: "
    )


def test_what_no_person_writes_is_refused() -> None:
    with pytest.raises(UserError, match=r"at most 10000 are read"):
        parse("a" * (MAX_LENGTH + 1))
    for deep in ("(" * 40 + "a=1" + ")" * 40, "not " * 40 + "a=1", "(" * 9000):
        with pytest.raises(UserError, match=f"more than {MAX_DEPTH} levels"):
            parse(deep)
    assert parse("(" * 20 + "a=1" + ")" * 20) == Compare("a", "=", 1)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, float("nan"), float("inf"), "a\0b", "\ud800"])
def test_a_value_that_no_field_can_hold_is_refused(value: Scalar) -> None:
    for make in (lambda: Compare("a", "=", value), lambda: In("a", ("x", value))):
        with pytest.raises(UserError, match="The filter asks for"):
            make()


ENTRY = Entry(
    item_id="p1",
    kind="video",
    path="a/b.jpg",
    metadata={"n": 1, "f": 2.5, "t": "2", "yes": True, "many": ("x", 3, False), "kind": "drawing"},
)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("n=1", True),
        ("n=1.0", True),
        ("n=true", False),
        ('n="1"', False),
        ("f>2 and f<3", True),
        ("f>=2.5 and f<=2.5 and not f<2.5 and not f>2.5", True),
        ('t="2"', True),
        ("t=2", False),
        ("t>1", False),
        ('t>"10"', True),
        ("yes=true", True),
        ("yes=1", False),
        ("yes!=1", True),
        ("yes>0", False),
        ("yes<=true", False),
        ("many=x", True),
        ("many=3 and many=false", True),
        ("many!=x", False),
        ("many!=y", True),
        ("many>2", True),
        ("many<x", False),
        ("many in (y, 3)", True),
        ("many in (y, 0)", False),
        ("none=1", False),
        ("none!=1", True),
        ("not none>1", True),
        ("none in (1)", False),
        ("kind=drawing", True),
        ("kind=video", False),
        ("item_id=p1 and path>=a and path<b", True),
    ],
)
def test_an_entry_passes_by_any_of_its_values_of_the_same_kind(text: str, passes: bool) -> None:
    assert satisfies(ENTRY, parse(text)) is passes


def test_a_filter_may_be_as_long_and_as_deep_as_is_said() -> None:
    word = "b" * (MAX_LENGTH - 2)
    assert parse(f"a={word}") == Compare("a", "=", word)
    # The comparison is a level as well.
    brackets = MAX_DEPTH - 1
    assert parse("(" * brackets + "a=1" + ")" * brackets) == Compare("a", "=", 1)
    # What stands side by side is no deeper.
    wide = MAX_DEPTH + 5
    assert parse(" and ".join(["(a=1)"] * wide)) == And((Compare("a", "=", 1),) * wide)


def test_no_filter_lets_everything_pass() -> None:
    assert satisfies(ENTRY, None)
    assert not satisfies(ENTRY, Or(()))
    assert satisfies(ENTRY, And(()))


def test_filters_are_equal_where_they_ask_for_the_same() -> None:
    asked = ["n=1", "n=true", "n=1.0", 'n="1"', "n in (1)", "n in (true)", "not n=1", "not n=true"]
    kept = {parse(text): text for text in asked}
    assert [kept[parse(text)] for text in asked] == asked
    assert parse("a=1 and n=true") == parse("a=1 and n=true") != parse("a=1 and n=1")
