"""Signals learnt from all captions: are the words explained, is their order usual, what do they promise, and
where do the sentences lie?

All are learnt from the machine translations themselves and leave the judged caption out, so that a caption
cannot vouch for itself.

C captions, W words of all captions in a row, P pairs of a word with each word that may explain it, F features
(words of the source and words of the translation), B captions of a block, J width of vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError
from dragoman.trust.signals import words

ROUNDS = 4
"""Rounds of expectation maximisation in `explained`; the lexicon hardly changes after the third."""
BACKGROUND = 0.01
"""Share of words that a translation may hold without any reason in the source."""
BIGRAM = 0.8
"""Weight of the bigram in the mixture with the unigram."""
LIMIT = 1.0
"""Nats that one word may count for or against its caption. A rare word gains several from its one usual
partner, and would outvote the words that have none."""
TURNED = 0.3
"""Pseudo-count of two words in either order."""
UNSEEN = 0.5
"""Pseudo-count of a word that no other caption has."""
ENOUGH = 500
"""Captions with an agreement below which nothing is learnt."""
FOLDS = 5
"""Parts of the items, each judged by a regression on the others."""
RIDGE = 3.0
"""Penalty of the squared weights: a word seen three times is believed by half."""
STEPS = 60
"""Steps of the solver."""
NEAREST = 10
"""Nearest others that a margin is taken from."""
BLOCK = 4096
"""Captions that are neighbours of one another; more would find nearer ones, in time that grows with them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def explained(sources: Sequence[str], texts: Sequence[str]) -> Floats:
    """Gain in likelihood of the source words given the translation, nats a word [C]; high is good.

    IBM model 1 (Brown et al. 1993) from translation to source, learnt on these pairs, against the frequency
    of the words alone, each word within ±`LIMIT`. Words that the translation dropped stay unexplained; with
    sources and texts exchanged, words stay unexplained that it made up. NaN for a source without words.
    """
    # The empty word explains what no other does, as articles that one of the languages does without.
    given_C, offset_G = _flat([["", *_folded(text)] for text in texts])
    word_C, offset_W = _flat([_folded(source) for source in sources])
    size = int(given_C.max(initial=0)) + 1
    lengths_G, lengths_W = np.diff(offset_G), np.diff(offset_W)
    caption_W = np.repeat(np.arange(len(texts)), lengths_W)
    # All pairs of a source word with each word of its translation, grouped by source word.
    fan_W = lengths_G[caption_W]
    word_P = np.repeat(np.arange(len(word_C)), fan_W)
    within_P = np.arange(len(word_P)) - np.repeat(np.cumsum(fan_W) - fan_W, fan_W)
    given_P = given_C[offset_G[caption_W[word_P]] + within_P]
    # A pair as one number: NumPy sorts those ten times faster than rows of two.
    pairs, pair_P = np.unique(word_C[word_P] * size + given_P, return_inverse=True)
    given_of_pair = pairs % size

    # Expectation maximisation. The likelihood of model 1 is concave: an even start serves as well as any.
    probability = np.ones(len(pairs))
    for _ in range(ROUNDS):
        share_P = probability[pair_P]
        share_P /= np.bincount(word_P, share_P, minlength=len(word_C))[word_P]
        count = np.bincount(pair_P, share_P, minlength=len(pairs))
        total = np.bincount(given_of_pair, count, minlength=size)
        probability = count / total[given_of_pair]

    # A pair seen in this caption only has no evidence left once the caption itself is taken out.
    others_P = np.maximum(count[pair_P] - share_P, 0) / np.maximum(total[given_P] - share_P, UNSEEN)
    # The share of BACKGROUND keeps the logarithm finite where nothing explains a word.
    model_W = np.bincount(word_P, others_P, minlength=len(word_C)) / fan_W
    alone_W = _alone(word_C)
    gain_W = np.clip(np.log((1 - BACKGROUND) * model_W / alone_W + BACKGROUND), -LIMIT, LIMIT)
    return _mean_per_caption(gain_W, caption_W, len(texts))


def order(texts: Sequence[str]) -> Floats:
    """Gain in likelihood of each word given the one before it, nats a word [C]; high is good.

    A bigram model of the distinct texts mixed with the frequency of words alone; both ends count as words,
    and no word gains more than `LIMIT`. Two words that stand more often the other way round cost the
    logarithm of how much more often. NaN for a text without words.
    """
    # An engine that answers with one sentence again and again must not make that sentence usual.
    distinct = list(dict.fromkeys(texts))
    place = {text: row for row, text in enumerate(distinct)}
    return _order(distinct)[[place[text] for text in texts]]


def _order(texts: Sequence[str]) -> Floats:
    folded = [_folded(text) for text in texts]
    word_C, offset = _flat([["", *text, ""] for text in folded])
    size = int(word_C.max(initial=0)) + 1
    inner = np.ones(len(word_C), bool)
    inner[offset[1:] - 1] = False  # behind the end of a caption no word follows
    first = np.flatnonzero(inner)
    before_W, word_W = word_C[first], word_C[first + 1]
    caption_W = np.repeat(np.arange(len(texts)), np.diff(offset) - 1)
    pairs, pair_W, count = np.unique(before_W * size + word_W, return_inverse=True, return_counts=True)
    others_W = count[pair_W] - 1
    seen_before = np.bincount(before_W, minlength=size)
    bigram_W = others_W / np.maximum(seen_before[before_W] - 1, 1)
    gain_W = np.minimum(np.log(BIGRAM * bigram_W / _alone(word_W) + 1 - BIGRAM), LIMIT)
    # Counts of the turned pairs, found in the sorted ones; a pair that is not there has a neighbour's place.
    turned_W = word_W * size + before_W
    place_W = np.minimum(np.searchsorted(pairs, turned_W), len(pairs) - 1)
    turned_count_W = np.where(pairs[place_W] == turned_W, count[place_W], 0) if len(pairs) else others_W
    loss_W = np.minimum(np.log((others_W + TURNED) / (turned_count_W + TURNED)), 0)
    # The two ends can stand nowhere else, and a word before itself has no other order.
    free_W = (before_W != word_C[0]) & (word_W != word_C[0]) & (before_W != word_W)
    gain = _mean_per_caption(gain_W + np.where(free_W, loss_W, 0), caption_W, len(texts))
    gain[[not text for text in folded]] = np.nan
    return gain


def sentences(source_CJ: NDArray[np.float32], text_CJ: NDArray[np.float32]) -> dict[str, Floats]:
    """Signals of the vectors that a sentence encoder gives to sources and translations, [C] each, in -1..1
    but for `margin` (-2..2), high is good.

    `sem` is the cosine of both, each less the mean of its side. `margin` is `sem` less the mean cosine of the
    source with the `NEAREST` other translations and of the translation with the `NEAREST` other sources, a
    half each (Artetxe and Schwenk 2019, arXiv 1811.01136, as a difference). `geometry` asks whether a
    translation lies among the other sources as its source does: the cosine of both rows of cosines, as in
    geometrical structure consistency (Zhao et al. 2024, arXiv 2405.16996), without pictures. Others are those
    of the same block of `BLOCK` captions; without any, `margin` and `geometry` are NaN. An untranslated copy
    looks perfect.
    """
    source_CJ, text_CJ = _centred(source_CJ), _centred(text_CJ)
    sem = np.sum(source_CJ * text_CJ, axis=1)
    margin, geometry = np.full(len(sem), np.nan), np.full(len(sem), np.nan)
    for start in range(0, len(sem), BLOCK):
        block = slice(start, start + BLOCK)
        source_BJ, text_BJ = source_CJ[block], text_CJ[block]
        if len(source_BJ) < 2:
            continue
        across_BB = text_BJ @ source_BJ.T
        np.fill_diagonal(across_BB, -np.inf)
        near = [np.mean(_largest(one_BB, NEAREST), axis=1) for one_BB in (across_BB, across_BB.T)]
        margin[block] = sem[block] - (near[0] + near[1]) / 2
        within_BB = source_BJ @ source_BJ.T
        for square_BB in (across_BB, within_BB):
            np.fill_diagonal(square_BB, 0)
        lengths = np.linalg.norm(across_BB, axis=1) * np.linalg.norm(within_BB, axis=1)
        geometry[block] = np.einsum("bc,bc->b", across_BB, within_BB) / np.maximum(lengths, 1e-12)
    return {"sem": sem.astype(np.float64), "margin": margin, "geometry": geometry}


def _centred(vectors_CJ: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors around the mean of all."""
    centred_CJ = vectors_CJ - vectors_CJ.mean(axis=0, dtype=np.float64)
    length_C1 = np.linalg.norm(centred_CJ, axis=1, keepdims=True)
    found: NDArray[np.float32] = (centred_CJ / np.maximum(length_C1, 1e-9)).astype(np.float32)
    return found


def _largest(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The largest values of each row; -inf, which stands for the caption itself, is never among them."""
    count = min(count, rows.shape[1] - 1)
    return np.partition(rows, rows.shape[1] - count, axis=1)[:, rows.shape[1] - count :]


def _alone(word_W: Ints) -> Floats:
    """Frequency of each word in a row, not counting this occurrence."""
    count = np.bincount(word_W)
    return np.asarray(np.maximum(count[word_W] - 1, UNSEEN) / max(len(word_W), 1))


def _mean_per_caption(value_W: Floats, caption_W: Ints, captions: int) -> Floats:
    length = np.bincount(caption_W, minlength=captions)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a caption without words
        return np.asarray(np.bincount(caption_W, value_W, minlength=captions) / length)


def _flat(rows: Sequence[Sequence[str]]) -> tuple[Ints, Ints]:
    """Word numbers of all rows in a row, and where each row starts (one more than there are rows)."""
    number: dict[str, int] = {}
    flat = np.fromiter((number.setdefault(word, len(number)) for word in chain(*rows)), np.int64)
    return flat, np.cumsum([0, *map(len, rows)])


def _folded(text: str) -> list[str]:
    return [word.casefold() for word in words(text)]


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
    # By hash of the item, and not by place: captions that join later leave those there in their folds.
    fold = np.array([hashlib.sha256(item.encode()).digest()[0] % FOLDS for item in items])
    for judged in range(FOLDS):
        learn = has & (fold != judged)
        if not learn.any():
            continue
        # Around the mean, which the penalty must not pull to zero.
        mean = agreement[learn].mean()
        # Always STEPS steps: without tolerances, rounding cannot decide on one more or one less. The damping
        # is squared by lsqr.
        weights_F = lsqr(
            features_CF[learn], agreement[learn] - mean, damp=RIDGE**0.5, atol=0, btol=0, iter_lim=STEPS
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
