"""What a run learns from: source captions with their images, translations and back-translations.

N source captions, K target languages, D width of the vision vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.corpus import Corpus
from dragoman.corpus.triples import triples
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target language, beside the N source captions; None where there is no text."""

    lang: str
    engine: str | None
    text: list[list[str]]
    """For each source caption the texts to draw from: its one translation, or (oracle) human captions."""
    back: list[str | None]
    trust: NDArray[np.float32]
    """[N] in 0..1; 1 where trust was not scored."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """N source captions and what belongs to them."""

    item_id: list[str]
    source_text: list[str]
    targets: tuple[Target, ...]
    dropped: int

    def __len__(self) -> int:
        return len(self.item_id)

    def all_texts(self) -> list[str]:
        """Every text that training can see, for fitting vocabularies."""
        found = list(self.source_text)
        for target in self.targets:
            found += [text for texts in target.text for text in texts]
            found += [text for text in target.back if text is not None]
        return found


def load_samples(corpus: Corpus, config: TrainConfig, *, back: bool) -> Samples:
    """The training split as the configuration wants it.

    With `back` every pair needs a back-translation. Raises UserError where captions or translations are
    missing, with the command that makes them.
    """
    if config.target_captions == "human" or not config.targets:
        if back and config.targets:
            raise UserError(
                "Human target captions have no back-translations, which the recipe needs. "
                "Train without: --set loss.cycle=false"
            )
        return _human_samples(corpus, config)
    joined = [
        triples(
            corpus,
            source=config.source,
            target=lang,
            split="train",
            engine=config.engine,
            back=back,
            incomplete=config.incomplete,
        )
        for lang in config.targets
    ]
    first = joined[0]
    row_of = {source_id: row for row, source_id in enumerate(first.source_id)}
    targets = []
    for lang, found in zip(config.targets, joined, strict=True):
        if back and None in found.back_text:
            missing = found.back_text.count(None)
            raise UserError(
                f"{missing} of {len(found)} {lang} translations have no back-translation, which the recipe "
                f"needs. Make them: dragoman translate {corpus.folder} --to {lang} --engine … --back ENGINE; "
                "or train without: --set loss.cycle=false"
            )
        text: list[list[str]] = [[] for _ in first.source_id]
        backs: list[str | None] = [None] * len(first)
        trust = np.ones(len(first), np.float32)
        for at, source_id in enumerate(found.source_id):
            row = row_of.get(source_id)
            if row is not None:
                text[row], backs[row] = [found.mt_text[at]], found.back_text[at]
                trust[row] = found.mt_trust[at]
        trust[np.isnan(trust)] = 1
        targets.append(Target(lang=lang, engine=found.engine, text=text, back=backs, trust=trust))
    return Samples(
        item_id=first.item_id,
        source_text=first.source_text,
        targets=tuple(targets),
        dropped=max(found.dropped for found in joined),
    )


def _human_samples(corpus: Corpus, config: TrainConfig) -> Samples:
    """Human captions only: the source alone, or the oracle with human target captions of the same item."""
    sources = human_captions(corpus, config.source, "train")
    of_item: list[dict[str, list[str]]] = []
    for lang in config.targets:
        captions = human_captions(corpus, lang, "train")
        texts: dict[str, list[str]] = {}
        for item_id, text in zip(captions["item_id"].to_pylist(), captions["text"].to_pylist(), strict=True):
            texts.setdefault(item_id, []).append(text)
        of_item.append(texts)
    item_ids, source_texts = sources["item_id"].to_pylist(), sources["text"].to_pylist()
    kept = [row for row, item_id in enumerate(item_ids) if all(item_id in texts for texts in of_item)]
    if not kept:
        raise UserError(f"No training item of {corpus.folder} has human captions in all of {config.targets}.")
    items = [item_ids[row] for row in kept]
    return Samples(
        item_id=items,
        source_text=[source_texts[row] for row in kept],
        targets=tuple(
            Target(
                lang=lang,
                engine=None,
                text=[texts[item_id] for item_id in items],
                back=[None] * len(kept),
                trust=np.ones(len(kept), np.float32),
            )
            for lang, texts in zip(config.targets, of_item, strict=True)
        ),
        dropped=len(item_ids) - len(kept),
    )


def human_captions(corpus: Corpus, lang: str, split: Split) -> pa.Table:
    """Human captions of one language and split. Raises UserError where there is none."""
    items, captions = corpus.items, corpus.captions
    chosen = items.filter(pc.equal(items["split"], split))["item_id"].combine_chunks()
    found = captions.filter(pc.and_(pc.equal(captions["role"], "human"), pc.equal(captions["lang"], lang)))
    found = found.filter(pc.is_in(found["item_id"], value_set=chosen))
    if not len(found):
        raise UserError(
            f"{corpus.folder} has no human {lang} captions in split {split!r}. "
            f"See what it holds: dragoman corpus show {corpus.folder}"
        )
    return found
