"""IBM model 1 against a slow, obvious loop, and links that a reader would make."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from dragoman.training.model import ROUNDS, align_words, model_one

SOURCES = ["the dog runs", "the dog sleeps", "a cat runs", "the cat sleeps", "a dog", "the red cat"]
TEXTS = ["o cão corre", "o cão dorme", "um gato corre", "o gato dorme", "um cão", "o gato vermelho"]


def split(rows: list[str]) -> list[list[str]]:
    return [row.split() for row in rows]


def slow_model_one(given: list[list[str]], words: list[list[str]]) -> dict[tuple[str, str], float]:
    """p(word | given), dictionary by dictionary; "" stands for nothing."""
    share: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(ROUNDS):
        count: dict[tuple[str, str], float] = defaultdict(float)
        for side, row in zip(given, words, strict=True):
            for word in row:
                total = sum(share[one, word] for one in ["", *side])
                for one in ["", *side]:
                    count[one, word] += share[one, word] / total
        whole: dict[str, float] = defaultdict(float)
        for (one, _), value in count.items():
            whole[one] += value
        share = defaultdict(float, {pair: value / whole[pair[0]] for pair, value in count.items()})
    return dict(share)


def test_the_table_is_that_of_the_slow_loop() -> None:
    given, words = split(TEXTS), split(SOURCES)
    names = [list(dict.fromkeys(word for row in rows for word in row)) for rows in (given, words)]
    rows = [
        [np.array([known.index(word) for word in row]) for row in side]
        for side, known in zip((given, words), names, strict=True)
    ]
    found = {
        (names[0][one], names[1][word]): value
        for (one, word), value in model_one(rows[0], rows[1], len(names[0])).items()
    }
    slow = {pair: value for pair, value in slow_model_one(given, words).items() if pair[0] and value > 0.01}
    assert found == pytest.approx(slow)


def test_words_find_the_words_they_stand_for() -> None:
    found = align_words(split(SOURCES * 2), split(TEXTS * 2), most=1)
    assert {word: found[word] for word in ("cão", "gato", "corre", "dorme")} == {
        "cão": ("dog",),
        "gato": ("cat",),
        "corre": ("runs",),
        "dorme": ("sleeps",),
    }


def test_rare_words_are_left_out() -> None:
    found = align_words(split(SOURCES), split(TEXTS), most=2)
    assert "cão" in found and "vermelho" not in found


def test_nothing_to_align_gives_nothing() -> None:
    assert align_words([], [], most=2) == {}
