"""Words of other languages linked to the source words they stand for, so that they share pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from dragoman.models.text.spelling import SmallTextConfig, read, unspaced
from dragoman.training.alignment import align_words
from dragoman.training.samples import Samples

CAPTIONS = 30_000
"""Translations of a language that its links are learnt from; it bounds the memory to about 1 GB."""


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
    for text in samples.source_text:
        source_count.update(read(text.lower(), config))
    links = {word: sources[: config.links] for word, sources in known.items()}
    for target in samples.targets:
        pairs = [
            (samples.source_text[row], choice.text)
            for row, choices in enumerate(target.choices)
            for choice in choices
        ]
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
