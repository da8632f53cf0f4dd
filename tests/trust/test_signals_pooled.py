"""What the words of a caption let expect, against plain ridge regression."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from dragoman.trust import signals_learnt
from dragoman.trust.signals_learnt import expected

RNG = random.Random(0)
WORDS = [f"word{n}" for n in range(12)]
SOURCES = [" ".join(RNG.sample(WORDS, 4)) for _ in range(80)]
TEXTS = [source.replace("word", "palavra").upper() for source in SOURCES]
ITEMS = [f"item{n // 2}" for n in range(80)]
AGREEMENT = np.array(["word3" not in source for source in SOURCES]) * 0.4 + 0.2


def by_hand(agreement: np.ndarray) -> np.ndarray:
    """Normal equations of (X'X + 3 I) w = X'y for each fold, over all words of both sides."""
    names = sorted({f"s {word}" for word in WORDS} | {f"t palavra{n}" for n in range(12)})
    rows = [
        {f"s {word}" for word in source.split()} | {f"t {word}" for word in text.casefold().split()}
        for source, text in zip(SOURCES, TEXTS, strict=True)
    ]
    matrix = np.array([[float(name in row) for name in names] for row in rows])
    fold = np.array([hashlib.sha256(item.encode()).digest()[0] % 5 for item in ITEMS])
    result = np.full(80, np.nan)
    for judged in range(5):
        learn = np.isfinite(agreement) & (fold != judged)
        mean = agreement[learn].mean()
        x, y = matrix[learn], agreement[learn] - mean
        result[fold == judged] = (
            matrix[fold == judged] @ np.linalg.solve(x.T @ x + 3 * np.eye(24), x.T @ y) + mean
        )
    return result


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_learnt, "ENOUGH", 20)


def test_expected_is_ridge_regression_on_the_words_of_other_items() -> None:
    half = np.where(np.arange(80) % 3 == 0, np.nan, AGREEMENT)
    np.testing.assert_allclose(expected(SOURCES, TEXTS, ITEMS, half), by_hand(half), rtol=1e-6)


def test_a_word_that_engines_disagree_about_lowers_what_is_expected_where_none_was_asked() -> None:
    half = np.where(np.arange(80) < 40, AGREEMENT, np.nan)
    found = expected(SOURCES, TEXTS, ITEMS, half)[40:]
    difficult = AGREEMENT[40:] < 0.5
    assert found[difficult].max() < found[~difficult].min()


def test_no_caption_is_judged_by_its_own_agreement() -> None:
    before = expected(SOURCES, TEXTS, ITEMS, AGREEMENT)
    changed = AGREEMENT.copy()
    changed[:2] = 1.0  # both captions of the first item
    after = expected(SOURCES, TEXTS, ITEMS, changed)
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (after != before).any()


def test_too_few_agreements_teach_nothing() -> None:
    few = np.where(np.arange(80) < 19, AGREEMENT, np.nan)
    assert np.isnan(expected(SOURCES, TEXTS, ITEMS, few)).all()
