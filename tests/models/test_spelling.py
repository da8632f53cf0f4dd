from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_duals import small_config

from dragoman.errors import UserError
from dragoman.models.text.spelling import SmallTextConfig, Spelling, fit_pieces, pieces, read, words


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


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    config = SmallTextConfig()
    texts = ["a black dog", "der Hund auf der Straße", "ο μαύρος σκύλος", "ışık", "сабака", "Ｔ恤 狗", "NASA"]
    return Spelling(config, fit_pieces(texts * 2, config))


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("black", ["black"]),
        ("BLACK", ["black"]),
        ("Black", ["black"]),
        # Of ordinary texts every model was trained on the pieces of such a word.
        ("hund", ["hund"]),
        ("Black dogs running", ["Black", "dogs", "running"]),
        ("A Black Dog", ["a", "black", "dog"]),
        ("Black Dog on a Hund", ["black", "dog", "on", "a", "Hund"]),
        ("HUND", ["Hund"]),
        ("STRASSE", ["Straße"]),
        ("Nasa", ["NASA"]),
        # Capitals lose the accents in Greek, and the dots in Turkish say which letter it is.
        ("ΣΚΥΛΟΣ", ["σκύλος"]),
        ("IŞIK", ["ışık"]),
        ("САБАКА", ["сабака"]),
        ("ｂｌａｃｋ", ["black"]),
        ("ＢＬＡＣＫ", ["black"]),
        ("𝐛𝐥𝐚𝐜𝐤", ["black"]),
        ("bla\u00adck", ["black"]),
        # What the vocabulary holds is read as it stands, and so is what nothing in it is like.
        ("Ｔ", ["Ｔ"]),
        ("cat", ["cat"]),
        ("Blackish", ["Blackish"]),
        ("BLACKISH", ["blackish"]),
        ("Skylos", ["Skylos"]),
        ("", [""]),
    ],
)
def test_a_word_is_read_as_the_known_one_in_other_letters(
    spelling: Spelling, typed: str, known: list[str]
) -> None:
    rows = [spelling.rows(word) for word in known]
    found = spelling.prepare([typed])
    ends = np.cumsum(found["sizes"])
    read_rows = [list(part) for part in np.split(found["pieces"], ends[:-1])]
    # Two words may be read by the same pieces.
    assert [read_rows[word] for word in found["words"][0]] == rows


def test_a_text_is_read_where_a_piece_of_it_is_known(spelling: Spelling) -> None:
    texts = ["a dog", "a 🐶", "🐶", "12", "⠀", "дом", "сабачка", "狗", "?!", "", "BLACK"]
    assert spelling.reads(texts) == [True, True, *[False] * 4, True, True, False, False, True]
