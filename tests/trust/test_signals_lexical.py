"""The learnt signals against slow sums over dictionaries."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from dragoman.trust.signals_learnt import explained, order

SOURCES = ["a red dog", "a dog", "a red cat", "the cat sleeps", "a cat", "a dog sleeps"]
TEXTS = ["um cão vermelho", "um cão", "um gato vermelho", "o gato dorme", "um gato", "um gato dorme"]


def slow_explained(sources: list[str], texts: list[str]) -> list[float]:
    pairs = [(s.split(), ["", *t.split()]) for s, t in zip(sources, texts, strict=True)]
    probability: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(4):
        count: Counter[tuple[str, str]] = Counter()
        total: Counter[str] = Counter()
        shares = []
        for source, text in pairs:
            for word in source:
                norm = sum(probability[word, given] for given in text)
                share = [probability[word, given] / norm for given in text]
                shares.append(share)
                for given, part in zip(text, share, strict=True):
                    count[word, given] += part
                    total[given] += part
        probability = defaultdict(float, {key: count[key] / total[key[1]] for key in count})
    alone = Counter(word for source, _ in pairs for word in source)
    size = alone.total()
    result, position = [], 0
    for source, text in pairs:
        gains = []
        for word in source:
            share, position = shares[position], position + 1
            model = sum(
                max(count[word, given] - part, 0) / max(total[given] - part, 0.5)
                for given, part in zip(text, share, strict=True)
            ) / len(text)
            frequency = max(alone[word] - 1, 0.5) / size
            gains.append(min(max(math.log(0.99 * model / frequency + 0.01), -1), 1))
        result.append(sum(gains) / len(gains))
    return result


def slow_order(texts: list[str]) -> list[float]:
    distinct = [["", *text.split(), ""] for text in dict.fromkeys(texts)]
    pairs = Counter(pair for row in distinct for pair in itertools.pairwise(row))
    before = Counter(word for row in distinct for word in row[:-1])
    after = Counter(word for row in distinct for word in row[1:])
    result = []
    for text in texts:
        row = ["", *text.split(), ""]
        gains = []
        for first, second in itertools.pairwise(row):
            bigram = (pairs[first, second] - 1) / max(before[first] - 1, 1)
            frequency = max(after[second] - 1, 0.5) / after.total()
            gains.append(min(math.log(0.8 * bigram / frequency + 0.2), 1))
            if first and second and first != second:
                turned = (pairs[first, second] - 1 + 0.3) / (pairs[second, first] + 0.3)
                gains[-1] += min(math.log(turned), 0)
        result.append(sum(gains) / len(gains))
    return result


def test_explained_equals_the_slow_model_1() -> None:
    np.testing.assert_allclose(explained(SOURCES, TEXTS), slow_explained(SOURCES, TEXTS), rtol=1e-9)


def test_order_equals_the_slow_bigram_model() -> None:
    texts = [*TEXTS, TEXTS[0], "dorme gato um um", "vermelho cão"]
    np.testing.assert_allclose(order(texts), slow_order(texts), rtol=1e-9)


def test_two_captions_give_an_order_by_hand() -> None:
    # Pairs of the first text: (start, um) is in the other text too, (um, x) and (x, end) are not.
    # Frequencies among 6 words: um (2-1)/6, x 1/2/6, end (2-1)/6; bigram (start, um) is (2-1)/(2-1).
    assert math.log(0.8 * 1 / (1 / 6) + 0.2) > 1  # more than one word may count for
    assert order(["um x", "um y"])[0] == pytest.approx((1 + 2 * math.log(0.2)) / 3)


def test_words_that_stand_the_other_way_round_elsewhere_cost_by_hand() -> None:
    # In "b a", no pair is in another text, but (a, b) stands in two.
    assert order(["a b", "x a b", "b a"])[2] == pytest.approx((3 * math.log(0.2) + math.log(0.3 / 2.3)) / 3)


def test_words_that_nothing_in_the_source_supports_are_seen_the_other_way_round() -> None:
    rng = random.Random(0)
    nouns = {f"noun{n}": f"nome{n}" for n in range(20)}
    sources, texts = [], []
    for _ in range(200):
        first, second = rng.sample(sorted(nouns), 2)
        sources.append(f"a {first} near a {second}")
        texts.append(f"um {nouns[first]} perto de um {nouns[second]}")
    strange = [next(nouns[noun] for noun in nouns if noun not in source.split()) for source in sources]
    longer = [f"{text} {noun}" for text, noun in zip(texts[:20], strange, strict=False)] + texts[20:]
    supported = explained(longer, sources)
    assert supported[:20].max() < supported[20:].min()


def test_a_translation_of_something_else_explains_less() -> None:
    rng = random.Random(0)
    nouns = {f"noun{n}": f"nome{n}" for n in range(20)}
    sources, texts = [], []
    for _ in range(200):
        first, second = rng.sample(sorted(nouns), 2)
        sources.append(f"a {first} near a {second}")
        texts.append(f"um {nouns[first]} perto de um {nouns[second]}")
    moved = [*texts[1:20], texts[0], *texts[20:]]
    scores = explained(sources, moved)
    assert scores[:20].max() < scores[20:].min()


def test_texts_without_words_have_no_lexical_signal() -> None:
    assert np.isnan(explained(["!", "a dog"], ["um", "um cão"])).tolist() == [True, False]
    assert np.isnan(order(["...", "um cão"])).tolist() == [True, False]


def test_neither_depends_on_the_order_of_the_captions() -> None:
    shuffled = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    sources, texts = [SOURCES[i] for i in shuffled], [TEXTS[i] for i in shuffled]
    np.testing.assert_allclose(explained(sources, texts), explained(SOURCES, TEXTS)[shuffled], rtol=1e-9)
    np.testing.assert_allclose(order(texts), order(TEXTS)[shuffled], rtol=1e-9)
