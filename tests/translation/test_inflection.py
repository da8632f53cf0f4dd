"""Forms of words: of English by rule, of others by likeness."""

from __future__ import annotations

import random

import pytest

from dragoman.translation.inflection import (
    LONGEST_ENDING,
    SHORTEST_STEM,
    english_bases,
    english_present,
    nearest,
)


@pytest.mark.parametrize(
    ("form", "base"),
    [
        *[
            ("dogs", "dog"),
            ("buses", "bus"),
            ("horses", "horse"),
            ("puppies", "puppy"),
            ("cookies", "cookie"),
        ],
        *[("playing", "play"), ("riding", "ride"), ("running", "run"), ("falling", "fall"), ("lying", "lie")],
        *[("jumped", "jump"), ("smiled", "smile"), ("hugged", "hug"), ("carried", "carry"), ("ran", "run")],
        *[
            ("bigger", "big"),
            ("largest", "large"),
            ("happier", "happy"),
            ("women", "woman"),
            ("man's", "man"),
        ],
    ],
)
def test_the_base_of_an_english_form_is_among_its_bases(form: str, base: str) -> None:
    assert base in english_bases(form)
    assert form not in english_bases(form)


def test_likelier_bases_come_first_and_words_without_an_ending_have_none() -> None:
    assert english_bases("running") == ["run", "runn", "runne"]
    assert english_bases("leaves")[0] == "leaf"
    assert english_bases("dress") == english_bases("dog") == english_bases("s") == []


def test_the_present_of_a_verb_in_ing_is_told() -> None:
    for word, present in [
        *[("running", "runs"), ("riding", "rides"), ("playing", "plays")],
        *[("catching", "catches"), ("carrying", "carries")],
    ]:
        assert present in english_present(word)
    assert "swings" not in english_present("swing")
    assert english_present("dog") == []


def test_the_nearest_word_is_the_one_that_a_search_of_all_finds() -> None:
    chance = random.Random(3)
    words = sorted({"".join(chance.choices("abc", k=chance.randrange(3, 9))) for _ in range(400)})
    for _ in range(500):
        word = "".join(chance.choices("abc", k=chance.randrange(3, 10)))
        best = None
        for other in words:
            common = 0
            while common < min(len(word), len(other)) and word[common] == other[common]:
                common += 1
            if common >= max(SHORTEST_STEM, max(len(word), len(other)) - LONGEST_ENDING):
                best = min(best or (0, 0, ""), (-common, len(other), other))
        assert nearest(word, words) == (best[2] if best else None)


def test_a_czech_form_finds_its_headword() -> None:
    known = sorted(["černý", "červený", "chlapec", "plážový", "pláž", "tráva", "trávník"])
    found = [
        nearest(word, known) for word in ("černého", "chlapci", "pláži", "trávě", "psem", "černočerného")
    ]
    assert found == ["černý", "chlapec", "pláž", "tráva", None, None]
