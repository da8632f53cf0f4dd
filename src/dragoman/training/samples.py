"""The samples that a run learns from: source captions with their images, translations and back-translations.

N source captions, K target languages.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dragoman.corpus import Captions, Corpus, Translations
from dragoman.corpus.corpus import CORRECTS
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.training.config import TrainConfig

ALL = "*"
"""Stands for every engine of a language."""
WITHOUT_BACK = (
    "Human target captions have no back-translations, which the recipe needs. "
    "Train without: --set loss.cycle=false"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A caption that a step may draw."""

    text: str
    trust: float = 1.0
    """In 0..1; 1 for human captions and where trust was not scored."""
    back: str | None = None
    """Its back-translation."""
    number: int = -1
    """Place among the machine captions of the run, where it learns labels of them."""
    human: bool = False
    """True where a person wrote it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target language, beside the N source captions."""

    lang: str
    engines: tuple[str, ...]
    """Whose translations these are; none for human captions."""
    choices: list[tuple[Choice, ...]]
    """For each source caption human captions of its item, where they are learned from, then its
    translations, one an engine."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """N source captions and what belongs to them."""

    item_id: list[str]
    source_text: list[str]
    targets: tuple[Target, ...]
    dropped: int
    """Source captions left out for want of a translation."""
    distrusted: int = 0
    """Translations left out as their trust is too low."""

    def __len__(self) -> int:
        return len(self.item_id)

    @cached_property
    def items(self) -> list[str]:
        """The different items, by their first source captions."""
        return list(dict.fromkeys(self.item_id))

    def by_language(self) -> dict[str, list[str]]:
        """Captions of each target language."""
        return {
            target.lang: [choice.text for choices in target.choices for choice in choices]
            for target in self.targets
        }

    def all_texts(self) -> list[str]:
        """Every text that training can see, for fitting vocabularies."""
        found = list(self.source_text)
        for target in self.targets:
            found += [choice.text for choices in target.choices for choice in choices]
            found += [choice.back for choices in target.choices for choice in choices if choice.back]
        return found


def spread(all_: Sequence[str], count: int) -> list[str]:
    """Take `count` at equal distances."""
    return [all_[row * len(all_) // count] for row in range(count)]


def load_samples(corpus: Corpus, config: TrainConfig, *, back: bool, split: Split = "train") -> Samples:
    """A split as the configuration wants it.

    With `back` every translation needs a back-translation. Raises UserError where captions, translations or
    wanted trust scores are missing, with the command that makes them.
    """
    # A run that adds languages learns few, but is judged by all.
    languages = config.step_targets if split == "train" else config.targets
    if config.target_captions == "human" or not config.targets:
        if back and config.targets:
            raise UserError(WITHOUT_BACK)
        return _human_samples(corpus, config, languages, split)
    if back and config.target_captions == "both":
        raise UserError(WITHOUT_BACK)
    sources = human_captions(corpus, config.source, split)
    row_of = {caption_id: row for row, caption_id in enumerate(sources.ids)}
    targets = tuple(_target(corpus, config, lang, row_of, split, back) for lang in languages)
    if config.target_captions == "both":
        targets = tuple(_with_human(corpus, target, sources.item_ids, split) for target in targets)
    complete = [row for row in range(len(row_of)) if all(target.choices[row] for target in targets)]
    kept = _learnable(targets, config) if config.incomplete == "keep" else complete
    if not kept:
        raise UserError(
            f"No {config.source} caption of {corpus.folder} in split {split!r} has translations into all of "
            f"{', '.join(config.targets)}. Take those that have some: --set incomplete=keep"
        )
    if config.trust.learns:
        trusted = _numbered(targets, kept)
    else:
        trusted = [_trusted(target, config) for target in targets]
    before, after = (sum(len(c) for target in some for c in target.choices) for some in (targets, trusted))
    item_ids, texts = sources.item_ids, sources.texts
    return Samples(
        item_id=[item_ids[row] for row in kept],
        source_text=[texts[row] for row in kept],
        targets=tuple(replace(target, choices=[target.choices[row] for row in kept]) for target in trusted),
        dropped=len(row_of) - len(kept),
        distrusted=before - after,
    )


def _learnable(targets: Sequence[Target], config: TrainConfig) -> list[int]:
    """Source captions that teach something; a run that adds languages knows the source language."""
    if config.extension is None:
        return list(range(len(targets[0].choices)))
    added = [target.choices for target in targets if target.lang in config.extension.added]
    return [row for row, choices in enumerate(zip(*added, strict=True)) if any(choices)]


def _target(
    corpus: Corpus, config: TrainConfig, lang: str, row_of: dict[str, int], split: Split, back: bool
) -> Target:
    wanted = _engines(corpus, config, lang, split)
    # Corrections are few: a language that people alone wrote is learned from as well.
    alone_human = config.target_captions == "both" and not corpus.engines(
        source=config.source, target=lang, split=split
    )
    if alone_human:
        return Target(lang=lang, engines=(), choices=[()] * len(row_of))
    # What is only rehearsed needs no way back.
    back = back and lang in config.learned_targets
    # One engine's own gaps are named by the join; those of several together, below.
    alone: bool = len(wanted) == 1 and config.incomplete == "error"
    choices: list[tuple[Choice, ...]] = [()] * len(row_of)
    engines = []
    for engine in wanted:
        found = corpus.translations(
            source=config.source,
            target=lang,
            split=split,
            engine=engine,
            back=back,
            incomplete="error" if alone else "drop",
        )
        engines.append(found.engine or "unnamed engine")
        _require_ways_back(corpus, found, lang, back)
        _require_trust(corpus, found, lang, config)
        trust = np.nan_to_num(found.mt_trust, nan=1.0).tolist()
        for at, source_id in enumerate(found.source_id):
            choice = Choice(found.mt_text[at], trust[at], found.back_text[at])
            choices[row_of[source_id]] += (choice,)
    missing = sum(not some for some in choices)
    if missing and config.incomplete == "error":
        raise UserError(
            f"{missing} of {len(row_of)} source captions have no translation into {lang} by any of "
            f"{', '.join(engines)}. Finish the translation (dragoman translate {corpus.folder} --to {lang}), "
            "learn from the languages that a caption has (--set incomplete=keep), or leave such captions out "
            "(--set incomplete=drop)."
        )
    return Target(lang=lang, engines=tuple(engines), choices=choices)


def _with_human(corpus: Corpus, target: Target, item_ids: Sequence[str], split: Split) -> Target:
    """Add the human captions of each item, before the translations that they do not correct. Raises UserError
    for neither."""
    captions = corpus.select(role="human", lang=target.lang, split=split)
    if not any(target.choices):
        captions = captions.require(f"human {target.lang} captions")
    of_item: dict[str, tuple[Choice, ...]] = {}
    for item_id, text in zip(captions.item_ids, captions.texts, strict=True):
        of_item[item_id] = (*of_item.get(item_id, ()), Choice(text, human=True))
    wrong: set[tuple[str, str]] = set()
    if CORRECTS.name in captions.table.column_names:
        wrong.update(zip(captions.item_ids, captions.table[CORRECTS.name].to_pylist(), strict=True))
    return replace(
        target,
        choices=[
            (*of_item.get(item_id, ()), *(one for one in translated if (item_id, one.text) not in wrong))
            for item_id, translated in zip(item_ids, target.choices, strict=True)
        ],
    )


def _engines(corpus: Corpus, config: TrainConfig, lang: str, split: Split) -> Sequence[str | None]:
    """The engines that the configuration names for a language; None is the only one there is."""
    general = [name for name in config.engines if name.partition("=")[0] not in config.targets]
    chosen = [
        engine
        for name in config.engines
        for target, equals, engine in [name.partition("=")]
        if equals and target == lang
    ]
    names: list[str] = chosen or general
    if not names:
        return [None]
    if ALL in names:
        return corpus.engines(source=config.source, target=lang, split=split) or [None]
    return list(dict.fromkeys(names))


def _require_ways_back(corpus: Corpus, found: Translations, lang: str, back: bool) -> None:
    missing = found.back_text.count(None)
    if back and missing:
        raise UserError(
            f"{missing} of {len(found)} {lang} translations have no back-translation, which the recipe "
            f"needs. Make them: dragoman translate {corpus.folder} --to {lang} --engine … --back ENGINE; "
            "or train without: --set loss.cycle=false"
        )


def _require_trust(corpus: Corpus, found: Translations, lang: str, config: TrainConfig) -> None:
    missing = int(np.isnan(found.mt_trust).sum())
    if missing and config.trust.used and not config.trust.learns:
        raise UserError(
            f"{missing} of {len(found)} {lang} translations have no trust score, which training was told to "
            f"use. Score them: dragoman trust {corpus.folder}; or train without: --set trust.weight=false "
            "--set trust.soft=false --set trust.drop_below=0"
        )


def _trusted(target: Target, config: TrainConfig) -> Target:
    """Without the captions that are trusted too little; as a control, with the scores dealt out anew."""
    choices = target.choices
    if config.trust.shuffled:
        scores = np.array([choice.trust for some in choices for choice in some])
        dealt = iter(np.random.default_rng([config.seed, 7]).permutation(scores).tolist())
        choices = [tuple(replace(choice, trust=next(dealt)) for choice in some) for some in choices]
    least = config.trust.drop_below
    if least:
        choices = [tuple(choice for choice in some if choice.trust >= least) for some in choices]
    return replace(target, choices=choices)


def _numbered(targets: Sequence[Target], kept: Sequence[int]) -> list[Target]:
    """The targets with their captions of the `kept` source captions numbered."""
    number = itertools.count()
    found = []
    for target in targets:
        choices = list(target.choices)
        for row in kept:
            choices[row] = tuple(replace(choice, number=next(number)) for choice in choices[row])
        found.append(replace(target, choices=choices))
    return found


def _human_samples(corpus: Corpus, config: TrainConfig, languages: Sequence[str], split: Split) -> Samples:
    """Human captions only: the source alone, or the oracle with human target captions of the same item."""
    sources = human_captions(corpus, config.source, split)
    of_item: list[dict[str, list[str]]] = []
    for lang in languages:
        captions = human_captions(corpus, lang, split)
        texts: dict[str, list[str]] = {}
        for item_id, text in zip(captions.item_ids, captions.texts, strict=True):
            texts.setdefault(item_id, []).append(text)
        of_item.append(texts)
    item_ids, source_texts = sources.item_ids, sources.texts
    kept = [
        row
        for row, item_id in enumerate(item_ids)
        if config.incomplete == "keep" or all(item_id in texts for texts in of_item)
    ]
    if not kept:
        raise UserError(f"No training item of {corpus.folder} has human captions in all of {languages}.")
    items = [item_ids[row] for row in kept]
    return Samples(
        item_id=items,
        source_text=[source_texts[row] for row in kept],
        targets=tuple(
            Target(
                lang=lang,
                engines=(),
                choices=[
                    tuple(Choice(text, human=True) for text in texts.get(item_id, ())) for item_id in items
                ],
            )
            for lang, texts in zip(languages, of_item, strict=True)
        ),
        dropped=len(item_ids) - len(kept),
    )


def human_captions(corpus: Corpus, lang: str, split: Split) -> Captions:
    """Return the human captions of one language and split. Raises UserError where there is none."""
    return corpus.select(role="human", lang=lang, split=split).require(f"human {lang} captions")
