"""The queries of a report: captions of one language, with their translations where the corpus has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dragoman.arrow import pa, pc
from dragoman.corpus import Captions, Corpus
from dragoman.errors import UserError
from dragoman.reports.settings import EvaluationSettings

UNNAMED = "unnamed engine"


@dataclass(frozen=True, kw_only=True)
class QueryTexts:
    """Captions of one language in the order of their ids; all lists have equal length."""

    language: str
    ids: list[str]
    items: list[str]
    slots: list[int]
    """Place of the caption among those of its item here, from 0."""
    texts: list[str]
    translations: list[str] | None
    """The same captions machine-translated into the source language; null where the corpus has none."""
    engine: str | None
    """The engine of the translations."""
    dropped: int
    """Captions left out because only they had no translation."""

    def __len__(self) -> int:
        return len(self.ids)


def item_ids(corpus: Corpus, split: str) -> list[str]:
    """Give the items of a split in the order of their ids."""
    items = corpus.split(split)["item_id"].to_pylist()
    if not items:
        raise UserError(
            f"{corpus.folder} has no items in split {split!r}. "
            f"See what it holds: dragoman corpus show {corpus.folder}"
        )
    # Galleries stand in this order, so equal scores are listed by ascending id.
    return sorted(items)


def human_texts(
    corpus: Corpus, language: str, split: str, source: str, settings: EvaluationSettings
) -> QueryTexts | None:
    """Give the human captions that `settings` asks for, or null where there are none."""
    found = _human_captions(corpus, language, split, settings)
    return _with_translations(corpus, found, language, source, settings) if len(found) else None


def require_human_texts(
    corpus: Corpus, language: str, source: str, settings: EvaluationSettings
) -> QueryTexts:
    """Give the human captions of the evaluated split. Raises UserError where there are none."""
    globs = settings.match.get(language)
    which = f" whose id fits {' or '.join(globs)}" if globs else ""
    found = _human_captions(corpus, language, settings.split, settings)
    found = found.require(f"human {language} captions{which}")
    return _with_translations(corpus, found, language, source, settings)


def machine_texts(corpus: Corpus, language: str, split: str, source: str) -> QueryTexts | None:
    """Give machine captions that were translated back, for use where no human captions are at hand."""
    found = corpus.select(role="mt", lang=language, split=split).by_id()
    back = corpus.select(role="back", lang=source, split=split).written_from(found)
    source_ids = back.table["source_id"].to_pylist()
    # A caption that several engines translated back has no one translation to stand for it.
    once = [name for name, count in Counter(source_ids).items() if count == 1]
    found = found.keep(pc.is_in(found.table["caption_id"], pa.array(once, pa.string())))
    if not len(found):
        return None
    texts = dict(zip(source_ids, back.texts, strict=True))
    return _texts(language, found, texts, ", ".join(_engines(back)), 0)


def _human_captions(corpus: Corpus, language: str, split: str, settings: EvaluationSettings) -> Captions:
    found = corpus.select(role="human", lang=language, split=split).by_id()
    if globs := settings.match.get(language):
        fits = [any(fnmatchcase(one, glob) for glob in globs) for one in found.ids]
        found = found.keep(pa.array(fits, pa.bool_()))
    return found


def _with_translations(
    corpus: Corpus, found: Captions, language: str, source: str, settings: EvaluationSettings
) -> QueryTexts:
    translated = corpus.select(role="mt", lang=source, split=found.split).written_from(found)
    if language == source or not len(translated):
        return _texts(language, found, None, None, 0)
    engine = _one_engine(_engines(translated), language, settings.translation_engine)
    translated = translated.keep(pc.equal(pc.fill_null(translated.table["engine"], UNNAMED), engine))
    texts = dict(zip(translated.table["source_id"].to_pylist(), translated.texts, strict=True))
    if len(texts) < len(translated):
        raise UserError(f"{engine} translated some {language} queries twice; one translation each expected.")
    has = pc.is_in(found.table["caption_id"], translated.table["source_id"].combine_chunks())
    missing = found.keep(pc.invert(has)).ids
    if missing and settings.untranslated == "error":
        raise UserError(
            f"{len(missing)} of {len(found)} human {language} captions in split {found.split!r} have no "
            f"translation by {engine}, first {', '.join(missing[:3])}. Translate them (dragoman translate "
            f"{found.folder}), or leave them out of all rows: --drop-untranslated"
        )
    return _texts(language, found.keep(has), texts, engine, len(missing))


def _engines(captions: Captions) -> list[str]:
    return sorted({one or UNNAMED for one in captions.table["engine"].unique().to_pylist()})


def _one_engine(known: Sequence[str], language: str, wanted: str | None) -> str:
    if wanted is None and len(known) > 1:
        raise UserError(
            f"The {language} queries were translated by several engines: {', '.join(known)}. "
            f"Choose one: --translation-engine '{known[0]}'"
        )
    if wanted is not None and wanted not in known:
        raise UserError(
            f"No {language} query was translated by {wanted!r}. Engines that did: {', '.join(known)}"
        )
    return wanted or known[0]


def _texts(
    language: str, found: Captions, translations: Mapping[str, str] | None, engine: str | None, dropped: int
) -> QueryTexts:
    ids, items = found.ids, found.item_ids
    seen: Counter[str] = Counter()
    slots = []
    for item in items:
        slots.append(seen[item])
        seen[item] += 1
    return QueryTexts(
        language=language,
        ids=ids,
        items=items,
        slots=slots,
        texts=found.texts,
        translations=None if translations is None else [translations[one] for one in ids],
        engine=engine,
        dropped=dropped,
    )
