"""Planted damage: how much, where, and of what kind."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.trust.noise import KINDS, NoiseSettings, plant

TEXTS = [f"w{n} x{n} y{n} z{n} v{n} u{n} t{n} s{n} r{n} q{n}" for n in range(50)]
SOURCES = [text.upper() for text in TEXTS]


@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 9), st.sets(st.sampled_from(KINDS), min_size=1))
def test_exactly_the_wanted_number_is_changed(count: int, rate: float, seed: int, kinds: set[str]) -> None:
    if kinds == {"shuffle"} and count == 1:
        return
    config = NoiseSettings(rate=rate, kinds=tuple(sorted(kinds)), seed=seed)
    planted = plant(TEXTS[:count], config, sources=SOURCES[:count])
    assert len(planted) == round(rate * count)
    assert all(damage.text != TEXTS[row] for row, damage in planted.items())


def test_the_kinds_share_the_damage_evenly() -> None:
    planted = plant(TEXTS, NoiseSettings(rate=0.56, kinds=KINDS), sources=SOURCES)
    assert Counter(damage.kind for damage in planted.values()) == dict.fromkeys(KINDS, 4)


def test_a_seed_gives_the_same_damage_and_another_seed_other_damage() -> None:
    config = NoiseSettings(rate=0.3, kinds=KINDS, seed=1)
    assert plant(TEXTS, config, sources=SOURCES) == plant(TEXTS, config, sources=SOURCES)
    other = NoiseSettings(rate=0.3, kinds=KINDS, seed=2)
    assert plant(TEXTS, config, sources=SOURCES) != plant(TEXTS, other, sources=SOURCES)


def test_the_seed_decides_what_becomes_of_a_text() -> None:
    scrambled = [
        plant(TEXTS[:1], NoiseSettings(rate=1, kinds=("scramble",), seed=seed))[0].text for seed in range(5)
    ]
    assert len(set(scrambled)) == 5


def test_a_higher_rate_keeps_the_damage_of_a_lower_one() -> None:
    low, high = (plant(TEXTS, NoiseSettings(rate=rate, kinds=KINDS), sources=SOURCES) for rate in (0.2, 0.6))
    assert low.items() <= high.items()
    assert (len(low), len(high)) == (10, 30)


def only(kind: str, text: str, **given: object) -> str:
    return plant([text], NoiseSettings(rate=1, kinds=(kind,)), **given)[0].text  # type: ignore[arg-type]


def test_drop_leaves_out_a_share_of_the_words_and_keeps_the_order() -> None:
    for row, damage in plant(TEXTS, NoiseSettings(rate=1, kinds=("drop",), strength=0.3)).items():
        before, after = TEXTS[row].split(), damage.text.split()
        assert len(after) == 7
        assert after == [word for word in before if word in after]


def test_drop_never_takes_the_last_word() -> None:
    assert only("drop", "um cão") in ("um", "cão")


def test_swap_exchanges_neighbours() -> None:
    assert only("swap", "um cão") == "cão um"
    text = only("swap", "a b c d e")
    assert text in ("b a c d e", "a c b d e", "a b d c e", "a b c e d")


def test_scramble_keeps_the_words() -> None:
    text = only("scramble", TEXTS[0])
    assert sorted(text.split()) == sorted(TEXTS[0].split()) and text != TEXTS[0]


def test_repeat_goes_on_with_a_phrase_of_the_text() -> None:
    words = only("repeat", "a b c d").split()
    looped = [
        [*kept, *kept[-length:] * times]
        for kept in (list("abcd")[:end] for end in range(1, 5))
        for length in range(1, min(3, len(kept)) + 1)
        for times in range(3, 9)
    ]
    assert words in looped


def test_texts_without_spaces_lose_characters() -> None:
    text = only("drop", "红色的狗跑得快")
    assert len(text) == 5 and " " not in text
    assert text == "".join(sign for sign in "红色的狗跑得快" if sign in text)


def test_copy_and_wrong_language_take_the_given_text() -> None:
    assert only("copy", "um cão", sources=["a dog"], foreign=[["un perro"]]) == "a dog"
    assert only("wrong_language", "um cão", sources=["a dog"], foreign=[["un perro"]]) == "un perro"
    assert only("wrong_language", "um cão", sources=["a dog"], foreign=[[]]) == "a dog"


def test_a_shuffled_text_comes_from_another_item_of_the_pool() -> None:
    rng = Random(0)
    items, pools = [rng.randrange(10) for _ in TEXTS], [rng.randrange(2) for _ in TEXTS]
    planted = plant(TEXTS, NoiseSettings(rate=1, kinds=("shuffle",)), items=items, pools=pools)
    for row, damage in planted.items():
        assert damage.donor is not None and damage.text == TEXTS[damage.donor]
        assert items[row] != items[damage.donor] and pools[row] == pools[damage.donor]


def test_a_kind_that_cannot_change_a_text_gives_way_to_the_next() -> None:
    config = NoiseSettings(rate=1, kinds=("drop", "copy"))
    assert {d.kind for d in plant(["cão", "gato"], config, sources=["dog", "cat"]).values()} == {"copy"}


def test_too_few_damageable_texts_are_an_error_with_the_count() -> None:
    with pytest.raises(UserError, match="Only 1 of 3 texts can be damaged by drop, but 2 were to be"):
        plant(["cão", "um gato", "ave"], NoiseSettings(rate=0.6, kinds=("drop",)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 40}, r"must lie in 0\.\.1, got 40\. For 40 %: --rate 0\.4"),
        ({"kinds": ("drop", "typo")}, "No kind of noise typo. Known: drop, swap"),
        ({"kinds": ()}, "No kind of noise given"),
        ({"strength": 0}, "strength must lie between 0 and 1, got 0"),
    ],
)
def test_settings_check_themselves(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NoiseSettings(**given)  # type: ignore[arg-type]
