"""Other words for the same caption: what a step does to texts before they are encoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from numpy.random import Generator

from dragoman.corpus import Corpus
from dragoman.folders import sha256
from dragoman.training.config import TrainConfig
from dragoman.translation.lexicon import Lexicon, lexicon_path


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Rules for varying texts, anew in each step. Words are what stands between spaces."""

    word_dropout: float
    synonyms: float
    renderings: float
    lexicons: tuple[Lexicon | None, ...]
    """One per target language, in their order, None for those without; empty where neither synonyms nor
    renderings are wanted."""

    def words_for(self, source_texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the lexicon words that the source captions can bring in, with the source words that they
        render."""
        lexicons = [lexicon for lexicon in self.lexicons if lexicon is not None]
        if not lexicons:
            return {}
        words = {word.lower() for text in source_texts for word in text.split(" ")}
        found: dict[str, tuple[str, ...]] = {}
        for lexicon in lexicons:
            # Sorted: the order of a set differs from process to process, and with it that of a vocabulary.
            for word in sorted(words):
                for rendering in lexicon.renderings(word):
                    found[rendering] = (*found.get(rendering, ()), word)
        return found

    def vary_target(self, text: str, source: str, lang: int, draws: Generator) -> str:
        """Return a machine caption of target language `lang` (from 0): rendered anew, or with synonyms."""
        lexicon = self.lexicons[lang] if self.lexicons else None
        if lexicon is None:
            return text
        if draws.random() < self.renderings:
            return " ".join(_draw(lexicon.renderings(word), word, draws) for word in source.split(" "))
        words = text.split(" ")
        changed = draws.random(len(words)) < self.synonyms
        return " ".join(
            _draw(lexicon.synonyms(word), word, draws) if change else word
            for word, change in zip(words, changed, strict=True)
        )

    def drop_words(self, text: str, draws: Generator) -> str:
        """Return the text without some of its words; never without all."""
        if not self.word_dropout:
            return text
        words = text.split(" ")
        kept = [
            word
            for word, draw in zip(words, draws.random(len(words)), strict=True)
            if draw >= self.word_dropout
        ]
        return " ".join(kept) if kept else text


def glosses(corpus: Corpus, config: TrainConfig, source_texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the words of the lexicons that a glossed encoder reads by them, with the source words that they
    render. Raises UserError for a lexicon that is wanted and missing."""
    lexicons = tuple(Lexicon.open(corpus, lang) for lang in _lexical_languages(corpus, config))
    return Augmentation(word_dropout=0, synonyms=0, renderings=0, lexicons=lexicons).words_for(source_texts)


def load_augmentation(corpus: Corpus, config: TrainConfig) -> Augmentation:
    """Return the augmentation of a configuration. Raises UserError for a lexicon that is wanted and
    missing."""
    chosen = _lexical_languages(corpus, config)
    return Augmentation(
        word_dropout=config.word_dropout,
        synonyms=config.synonyms,
        renderings=config.renderings,
        lexicons=tuple(
            Lexicon.open(corpus, lang) if lang in chosen else None
            for lang in config.step_targets
            if chosen and not config.reads_words
        ),
    )


def lexicon_hashes(corpus: Corpus, config: TrainConfig) -> dict[str, str]:
    """Return content hashes of the lexicons that a run reads."""
    paths = {lang: lexicon_path(corpus, lang) for lang in _lexical_languages(corpus, config)}
    return {lang: sha256(path) for lang, path in paths.items() if path.is_file()}


def _lexical_languages(corpus: Corpus, config: TrainConfig) -> tuple[str, ...]:
    if config.reads_words:
        folder = lexicon_path(corpus, "any").parent
        there = sorted(path.stem for path in folder.glob("*.tsv")) if "*" in config.lexicons else []
        return tuple(dict.fromkeys([*(lang for lang in config.lexicons if lang != "*"), *there]))
    if config.target_captions != "mt" or not (config.synonyms or config.renderings):
        return ()
    if config.lexicons == ("*",):
        return tuple(lang for lang in config.step_targets if lexicon_path(corpus, lang).is_file())
    return tuple(lang for lang in config.step_targets if lang in (config.lexicons or config.targets))


def _draw(choices: Sequence[str], word: str, draws: Generator) -> str:
    return choices[int(draws.integers(len(choices)))] if choices else word
