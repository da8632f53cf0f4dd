"""The model that a run starts with: sized, fitted and seeded by what it is going to learn from.

Words of other languages are linked to the source words that they stand for, so that they share pieces. Links
are learnt from the machine translations themselves, by IBM model 1 (Brown et al., 1993) in both directions.

D width of the vision vectors, P pairs of a word with each word of the other side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dragoman.corpus import Corpus, FeatureSet
from dragoman.features.kept_texts import KeptTexts, KeptTokens
from dragoman.models import text
from dragoman.models.dual import DualEncoder
from dragoman.models.hubness import MOST
from dragoman.models.text.contract import Material
from dragoman.models.text.frozen import FrozenText
from dragoman.models.text.spelling import SmallTextConfig, read, unspaced
from dragoman.training.config import TrainConfig
from dragoman.training.samples import Samples

CAPTIONS = 30_000
"""Translations of a language that its links are learnt from; it bounds the memory to about 1 GB."""
ROUNDS = 5
"""Rounds of expectation maximisation."""
LEAST = 0.1
"""Least geometric mean of both directions' probabilities."""
SEEN = 3
"""Captions that a word must stand in."""
Table = dict[tuple[int, int], float]


def new_model(
    config: TrainConfig, corpus: Corpus, samples: Samples, known_words: Mapping[str, tuple[str, ...]]
) -> DualEncoder:
    """Return an untrained model; its weights are drawn from the random state.

    `known_words` join the vocabulary, where one is fitted, and are linked to the source words they render.
    """
    features = corpus.features(config.features)
    read = None if config.descriptions is None else KeptTexts(corpus.features(config.descriptions))
    material = Material(
        texts=samples.all_texts,
        source_texts=lambda: samples.source_text,
        known=known_words,
        links=lambda settings: word_links(samples, settings, known_words),
        kept=lambda name: KeptTexts(corpus.features(name)),
        states=lambda name: KeptTokens(corpus.features(name)),
        by_language=samples.by_language,
        joint=features.width if config.dual.image_head == "none" else config.dual.joint,
    )
    model = DualEncoder(
        config.dual,
        text.load(text.name_of(config.text)).Encoder.fresh(config.text, material),
        features.width,
        fusion=config.fusion if "fused" in config.loss.needs else None,
        regions=features.most_parts,
        video=config.video if features.layout == "frames" else None,
        hubs=(min(MOST, len(samples)), min(MOST, len(samples.items))) if config.dual.hubness else (0, 0),
        sentence=None if config.sentence is None else FrozenText.fresh(config.sentence, material),
        slots=None if read is None else config.slots,
        description_width=0 if read is None else read.width,
    )
    if config.standardise:
        model.fit_features(*_moments(features, samples.item_id))
    return model


def _moments(features: FeatureSet, item_ids: list[str]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [D] over the training items, or over their frames."""
    # In blocks: the vectors may exceed the memory.
    rows = np.sort(features.rows(sorted(set(item_ids))))
    total, squares = np.zeros(features.width), np.zeros(features.width)
    count, size = 0, max(1, 8192 // features.per_item)
    for start in range(0, len(rows), size):
        block = np.asarray(features.whole(rows[start : start + size]), np.float64)
        vectors = block.reshape(-1, features.width)
        # Frames that are not there are NaN.
        vectors = vectors[~np.isnan(vectors[:, 0])]
        count += len(vectors)
        total += vectors.sum(0)
        squares += np.square(vectors).sum(0)
    mean = total / count
    # Rounding may take the variance of a constant component below 0.
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def word_links(
    samples: Samples, config: SmallTextConfig, known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """`{word: source words}`, in lower case; at most `config.links` each.

    By alignment of the training captions, and for words that stand in none by `known` (from a lexicon). A
    word that is commoner in the source captions than in the translations is a source word, and has no link.
    """
    if not config.links:
        return {}
    source_count: Counter[str] = Counter()
    for source in samples.source_text:
        source_count.update(read(source.lower(), config))
    links = {word: sources[: config.links] for word, sources in known.items()}
    for target in samples.targets:
        pairs = [
            (samples.source_text[row], choice.text)
            for row, choices in enumerate(target.choices)
            for choice in choices
        ]
        # A draw of its own: all seeds of a run shall have the same links.
        chosen = np.random.default_rng(0).permutation(len(pairs))[:CAPTIONS]
        sources = [read(pairs[at][0].lower(), config) for at in chosen]
        texts = [_words(pairs[at][1].lower(), config) for at in chosen]
        count = Counter(word for text in texts for word in text)
        found = align_words(sources, texts, most=config.links)
        share = len(chosen) / len(samples)
        links |= {
            word: aligned for word, aligned in found.items() if count[word] > share * source_count[word]
        }
    return {word: sources for word, sources in links.items() if word not in sources}


def _words(text: str, config: SmallTextConfig) -> list[str]:
    """The words of a text; characters of unspaced scripts both alone and with their followers."""
    found = read(text, config)
    return found + [word[0] for word in found if len(word) > 1 and unspaced(word)]


def align_words(
    sources: Sequence[Sequence[str]], texts: Sequence[Sequence[str]], *, most: int
) -> dict[str, tuple[str, ...]]:
    """For words of the translations, the at most `most` source words they stand for, likeliest first.

    Row i of both sides is a pair, given as words. A pair of words counts by the geometric mean of
    p(source word | word) and p(word | source word). Rare words are left out, as is what is below `LEAST`.
    """
    if not any(texts) or not any(sources):
        return {}
    source_number, text_number = _numbers(sources), _numbers(texts)
    source_rows = [np.array([source_number[word] for word in row], np.int64) for row in sources]
    text_rows = [np.array([text_number[word] for word in row], np.int64) for row in texts]
    towards = model_one(text_rows, source_rows, len(text_number))
    backwards = model_one(source_rows, text_rows, len(source_number))
    seen = np.bincount(
        np.concatenate([np.unique(row) for row in text_rows]),
        minlength=len(text_number),
    )
    found: dict[int, list[tuple[float, int]]] = {}
    for (word, source), share in towards.items():
        score = (share * backwards.get((source, word), 0.0)) ** 0.5
        if score >= LEAST and seen[word] >= SEEN:
            found.setdefault(word, []).append((-score, source))
    source_words, text_words = list(source_number), list(text_number)
    return {
        text_words[word]: tuple(source_words[source] for _, source in sorted(scored)[:most])
        for word, scored in sorted(found.items())
    }


def model_one(given: Sequence[NDArray[np.int64]], words: Sequence[NDArray[np.int64]], size: int) -> Table:
    """p(word | given word) of IBM model 1, of those above 0.01; `size` is the number of given words.

    Every row of `given` also holds a word for nothing, which explains what the others do not.
    """
    empty = np.array([size], np.int64)
    word_P = np.concatenate([np.repeat(row, len(side) + 1) for side, row in zip(given, words, strict=True)])
    given_P = np.concatenate(
        [np.tile(np.concatenate([empty, side]), len(row)) for side, row in zip(given, words, strict=True)]
    )
    fans = [np.full(len(row), len(side) + 1) for side, row in zip(given, words, strict=True)]
    # Each occurrence of a word shares one count out over the given words of its row.
    fan = np.concatenate(fans)
    occurrence_P = np.repeat(np.arange(len(fan)), fan)
    # Two numbers in one, as np.unique of single numbers is much faster than of rows.
    pairs, pair_P = np.unique(word_P * (size + 1) + given_P, return_inverse=True)
    given_of_pair = pairs % (size + 1)
    probability = np.ones(len(pairs))
    for _ in range(ROUNDS):
        share_P = probability[pair_P]
        share_P /= np.bincount(occurrence_P, share_P)[occurrence_P]
        count = np.bincount(pair_P, share_P, minlength=len(pairs))
        probability = count / np.bincount(given_of_pair, count, minlength=size + 1)[given_of_pair]
    kept = np.flatnonzero((probability > 0.01) & (given_of_pair < size))
    return {
        (int(given_of_pair[at]), int(pairs[at] // (size + 1))): float(probability[at]) for at in kept.tolist()
    }


def _numbers(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    number: dict[str, int] = {}
    for row in rows:
        for word in row:
            number.setdefault(word, len(number))
    return number
