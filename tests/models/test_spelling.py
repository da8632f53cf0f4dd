from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_duals import small_config

from dragoman.errors import UserError
from dragoman.models.text.spelling import SmallTextConfig, fit_pieces, pieces, read, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog's ball.", ["A", "dog's", "ball", "."]),
        ("l’homme d'or", ["l’homme", "d'or"]),
        ("Um cão, à praia!", ["Um", "cão", ",", "à", "praia", "!"]),
        ("pôr-do-sol", ["pôr", "-", "do", "-", "sol"]),
        ("3 cães e 1.5 m", ["3", "cães", "e", "1", ".", "5", "m"]),
        ("一只狗runs快", ["一", "只", "狗", "runs", "快"]),
        ("いぬ と イヌ", ["い", "ぬ", "と", "イ", "ヌ"]),
        ("كلب يجري على الشاطئ", ["كلب", "يجري", "على", "الشاطئ"]),
        ("كَلْبٌ", ["كَلْبٌ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("দুটি কুকুর", ["দুটি", "কুকুর"]),
        ("می\u200cشود", ["می\u200cشود"]),
        ("หมา", ["ห", "ม", "า"]),
        ("🐶🐶 dog", ["🐶", "🐶", "dog"]),
        (" \t\n\u00a0", []),
        ("", []),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_accents_are_kept_however_they_are_encoded() -> None:
    composed, decomposed = "cão à cafe\u0301", unicodedata.normalize("NFD", "cão à café")
    assert words(composed) == words(decomposed) == ["cão", "à", "café"]
    assert words("cao") != words("cão")


@given(st.text(max_size=40))
def test_no_letter_is_lost(text: str) -> None:
    joined = "".join(words(text))
    assert [c for c in unicodedata.normalize("NFC", text) if not c.isspace()] == list(joined)


def test_pieces_are_the_bounded_word_and_its_ngrams() -> None:
    assert pieces("um", 3, 3) == ["<um>", "<um", "um>"]
    assert pieces("um", 3, 5) == ["<um>", "<um", "um>"]
    assert pieces("cão", 3, 4) == ["<cão>", "<cã", "cão", "ão>", "<cão", "cão>"]
    assert pieces("", 3, 5) == ["<>"]


def test_characters_of_unspaced_scripts_bring_their_followers_along() -> None:
    config = SmallTextConfig()
    assert read("一只狗 runs 快", config) == ["一只", "只狗", "狗", "runs", "快"]
    assert read("ねこ。", config) == ["ねこ", "こ", "。"]
    assert pieces("只狗", 3, 5) == ["<只>", "只狗"]
    assert pieces("狗", 3, 5) == ["<狗>"]


def test_the_vocabulary_counts_running_words() -> None:
    config = small_config(shortest=3, longest=3, min_count=2)
    # um: 3 running words; uma: 1. "<um" stands in all four.
    assert fit_pieces(["um um", "um uma"], config) == ["<um", "<um>", "um>"]
    assert fit_pieces([], config) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shortest": 6}, "n-grams need 1 <= shortest <= longest, got 6 and 5"),
        ({"width": 15}, "width 15 must be a multiple of heads 2"),
        ({"piece_dropout": 1.0}, r"piece_dropout must lie in \[0, 1\), got 1.0"),
        ({"max_words": 0}, "max_words must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_config(**setting)
