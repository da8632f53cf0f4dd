"""Query arithmetic: which signs count, and that nothing typed is lost."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.search.query import MAX_CHARACTERS, MAX_PARTS, QueryText, parse_text
from dragoman.texts import visible

# As keyboards and word processors of several languages write them.
QUOTED = [
    *("„red paint“", "„red paint”", "”red paint”", "« red\u00a0paint »", "»red paint«", "‹red paint›"),
    *("＂red paint＂", "「red paint」", "‘red paint’", "'red paint'", "‚red paint‘"),
]


@pytest.mark.parametrize(
    ("text", "plain", "added", "subtracted"),
    [
        ("a dog on the beach", "a dog on the beach", (), ()),
        ("beach +sunset -people", "beach", ("sunset",), ("people",)),
        ("+sunset beach -people evening", "beach evening", ("sunset",), ("people",)),
        ('car -"red paint" +"old town"', "car", ("old town",), ("red paint",)),
        ("car -“red paint”", "car", (), ("red paint",)),
        *((f"car -{quoted}", "car", (), ("red paint",)) for quoted in QUOTED),
        ("car ﹢paint ﹣red ‐dog ‑cat", "car", ("paint",), ("red", "dog", "cat")),
        ("un perro —grande y negro— corre", "un perro —grande y negro— corre", (), ()),
        ("-'tis", "-'tis", (), ()),
        ("海滩 +狗 −人", "海滩", ("狗",), ("人",)),
        ("شاطئ -كلب", "شاطئ", (), ("كلب",)),
        ("praia ＋cão －água", "praia", ("cão",), ("água",)),
        ("well-known 1-2 -3 C++ a+b - dash + plus", "well-known 1-2 -3 C++ a+b - dash + plus", (), ()),
        ("-water-colour", "", (), ("water-colour",)),
        ('-"" -" " +"open', '-"" -" " +"open', (), ()),
        ('-"a"b', '-"a"b', (), ()),
        ("--dog +-dog", "--dog +-dog", (), ()),
        ("  two\n lines\tand a tab ", "two lines and a tab", (), ()),
        ("", "", (), ()),
        (" \n ", "", (), ()),
    ],
)
def test_a_query_falls_into_its_parts(
    text: str, plain: str, added: tuple[str, ...], subtracted: tuple[str, ...]
) -> None:
    assert parse_text(text) == QueryText(plain=plain, added=added, subtracted=subtracted)


def test_what_is_wanted_leaves_out_what_is_subtracted() -> None:
    assert parse_text("praia +pôr -gente do sol").wanted == "praia do sol pôr"


def test_decomposed_letters_are_composed() -> None:
    assert parse_text(unicodedata.normalize("NFD", "cão -água")) == parse_text("cão -água")


def test_what_cannot_be_seen_is_no_query() -> None:
    assert parse_text("\u200b \u200e\ufeff") == parse_text("")
    assert parse_text("beach \u200b-\u200bpeople\u2060") == QueryText(plain="beach", subtracted=("people",))


def test_a_long_text_is_cut_and_says_so() -> None:
    found = parse_text("a" * MAX_CHARACTERS)
    assert (len(found.plain), found.cut) == (MAX_CHARACTERS, False)
    found = parse_text("a" * 1_000_000)
    assert (len(found.plain), found.cut) == (MAX_CHARACTERS, True)


def test_of_many_parts_the_first_count() -> None:
    found = parse_text(" ".join(f"+word{chr(97 + n)}" for n in range(MAX_PARTS + 2)))
    assert len(found.added) == MAX_PARTS
    assert found.plain == "+wordu +wordv"


@pytest.mark.parametrize(("text", "shown"), [("a\0b", "U+0000 at position 2"), ("\ud800", "U+D800")])
def test_control_characters_are_refused(text: str, shown: str) -> None:
    with pytest.raises(UserError, match=re.escape(shown)):
        parse_text(text)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
TYPED = st.lists(
    st.one_of(WORDS, st.sampled_from(["+", "-", '"', "“", "”", "„", "«", "»", "'", " ", "−狗"])), max_size=12
).map("".join)


@given(TYPED)
def test_every_letter_that_was_typed_is_in_one_of_the_parts(text: str) -> None:
    found = parse_text(text)
    parts = " ".join((found.plain, *found.added, *found.subtracted))
    # The Hangul fillers count as letters, and cannot be seen.
    letters = [c for c in visible(text) if c.isalnum()]
    assert sorted(c for c in parts if c.isalnum()) == sorted(letters)
    assert all(part and part == " ".join(part.split()) for part in (*found.added, *found.subtracted))


@given(TYPED)
def test_parsing_the_plain_part_again_changes_nothing(text: str) -> None:
    found = parse_text(text)
    if not found.added and not found.subtracted:
        assert parse_text(found.plain) == QueryText(plain=found.plain)
