"""Agreement foretold from the words of a caption, for captions that no other engine translated.

C captions, F features (words of the source and words of the translation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError
from dragoman.trust.signals import words

ENOUGH = 500
"""Captions with an agreement below which nothing is learnt."""
FOLDS = 5
RIDGE = 3.0
"""Penalty of the squared weights: a word seen three times is believed by half."""
ROUNDS = 60

Floats = NDArray[np.float64]


def expected(sources: Sequence[str], texts: Sequence[str], items: Sequence[str], agreement: Floats) -> Floats:
    """The agreement with other engines [C] that the words of a caption let expect, high is good.

    Ridge regression (Hoerl and Kennard 1970) of `agreement` [C], NaN where there is none, on the words of
    source and translation. No caption is judged by a regression that saw one of its item: the items fall
    into `FOLDS` by a hash, and each fold is judged by the others. NaN where fewer than `ENOUGH` agree.
    """
    result = np.full(len(texts), np.nan)
    has = np.isfinite(agreement)
    if has.sum() < ENOUGH:
        return result
    csr_array, lsqr = _sparse()
    features_CF = csr_array(*_features(sources, texts))
    fold = np.array([hashlib.sha256(item.encode()).digest()[0] % FOLDS for item in items])
    for judged in range(FOLDS):
        learn = has & (fold != judged)
        if not learn.any():
            continue
        mean = agreement[learn].mean()
        weights_F = lsqr(
            features_CF[learn], agreement[learn] - mean, damp=RIDGE**0.5, atol=0, btol=0, iter_lim=ROUNDS
        )[0]
        result[fold == judged] = features_CF[fold == judged] @ weights_F + mean
    return result


def _sparse() -> tuple[Any, Any]:
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.linalg import lsqr
    except ImportError:
        raise MissingExtraError("scipy", "mt", "Learning from the agreement of other engines") from None
    return csr_array, lsqr


def _features(sources: Sequence[str], texts: Sequence[str]) -> tuple[Any, tuple[int, int]]:
    """A sparse matrix and its shape: 1 where a caption has a word in its source or in its translation [C, F];
    the two sides differ."""
    number: dict[tuple[int, str], int] = {}
    columns: list[int] = []
    ends = [0]
    for pair in zip(sources, texts, strict=True):
        found = {(side, word.casefold()): None for side, text in enumerate(pair) for word in words(text)}
        columns += [number.setdefault(feature, len(number)) for feature in found]
        ends.append(len(columns))
    return (np.ones(len(columns)), columns, ends), (len(texts), len(number))
