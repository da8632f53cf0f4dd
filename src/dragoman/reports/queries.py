"""The queries of a report: captions of one language, with their translations where the corpus has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc

from dragoman.corpus.store import Corpus
from dragoman.errors import UserError
from dragoman.records import Role
from dragoman.reports.settings import EvaluationSettings


@dataclass(frozen=True, kw_only=True)
class Texts:
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
    items = corpus.items.filter(pc.field("split") == split)["item_id"].to_pylist()
    if not items:
        raise UserError(
            f"{corpus.folder} has no items in split {split!r}. "
            f"See what it holds: dragoman corpus show {corpus.folder}"
        )
    # Galleries stand in this order, so equal scores are listed by ascending id.
    return sorted(items)


def human_texts(
    corpus: Corpus, language: str, split: str, source: str, settings: EvaluationSettings
) -> Texts | None:
    """Give the human captions that `settings` asks for, or null where there are none."""
    found = _captions(corpus, split, language, "human")
    if globs := settings.match.get(language):
        keep = [any(fnmatchcase(one, glob) for glob in globs) for one in found["caption_id"].to_pylist()]
        found = found.filter(pa.array(keep, pa.bool_()))
    if not len(found):
        return None
    if language == source:
        return _texts(language, found, None, None, 0)
    return _with_translations(corpus, language, found, _captions(corpus, split, source, "mt"), settings)


def machine_texts(corpus: Corpus, language: str, split: str, source: str) -> Texts | None:
    """Give machine captions that were translated back, for use where no human captions are at hand."""
    found = _captions(corpus, split, language, "mt")
    back = _by_source_id(_captions(corpus, split, source, "back"), found)
    # A caption that several engines translated back has no one translation to stand for it.
    once = {name: count for name, count in Counter(back["source_id"].to_pylist()).items() if count == 1}
    found = found.filter(pc.is_in(found["caption_id"], pa.array(list(once), pa.string())))
    if not len(found):
        return None
    texts = dict(zip(back["source_id"].to_pylist(), back["text"].to_pylist(), strict=True))
    engines = sorted({one or "unnamed engine" for one in back["engine"].to_pylist()})
    return _texts(language, found, texts, ", ".join(engines), 0)


def require_human_texts(corpus: Corpus, language: str, source: str, settings: EvaluationSettings) -> Texts:
    """Give the human captions of the evaluated split. Raises UserError where there are none."""
    texts = human_texts(corpus, language, settings.split, source, settings)
    if texts is None:
        globs = settings.match.get(language)
        which = f" whose id fits {' or '.join(globs)}" if globs else ""
        raise UserError(
            f"{corpus.folder} has no human {language} captions{which} in split {settings.split!r}. "
            f"See what it holds: dragoman corpus show {corpus.folder}"
        )
    return texts


def _captions(corpus: Corpus, split: str, language: str, role: Role) -> pa.Table:
    table = corpus.captions.filter((pc.field("lang") == language) & (pc.field("role") == role))
    items = corpus.items.filter(pc.field("split") == split)["item_id"]
    found = table.filter(pc.is_in(table["item_id"], items.combine_chunks()))
    return found.sort_by("caption_id")


def _by_source_id(table: pa.Table, sources: pa.Table) -> pa.Table:
    return table.filter(pc.is_in(table["source_id"], sources["caption_id"].combine_chunks()))


def _with_translations(
    corpus: Corpus, language: str, found: pa.Table, translated: pa.Table, settings: EvaluationSettings
) -> Texts:
    translated = _by_source_id(translated, found)
    if not len(translated):
        return _texts(language, found, None, None, 0)
    engine = _one_engine(translated, language, settings.translation_engine)
    name = pc.fill_null(translated["engine"], "unnamed engine")
    translated = translated.filter(pc.equal(name, engine))
    texts = dict(zip(translated["source_id"].to_pylist(), translated["text"].to_pylist(), strict=True))
    if len(texts) < len(translated):
        raise UserError(f"{engine} translated some {language} queries twice; one translation each expected.")
    has = pc.is_in(found["caption_id"], translated["source_id"].combine_chunks())
    missing = found.filter(pc.invert(has))["caption_id"].to_pylist()
    if missing and settings.untranslated == "error":
        raise UserError(
            f"{len(missing)} of {len(found)} human {language} captions in split {settings.split!r} have no "
            f"translation by {engine}, first {', '.join(missing[:3])}. Translate them (dragoman translate "
            f"{corpus.folder}), or leave them out of all rows: --drop-untranslated"
        )
    return _texts(language, found.filter(has), texts, engine, len(missing))


def _one_engine(translated: pa.Table, language: str, wanted: str | None) -> str:
    known = sorted({one or "unnamed engine" for one in translated["engine"].to_pylist()})
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
    language: str, found: pa.Table, translations: Mapping[str, str] | None, engine: str | None, dropped: int
) -> Texts:
    ids, items = found["caption_id"].to_pylist(), found["item_id"].to_pylist()
    seen: Counter[str] = Counter()
    slots = []
    for item in items:
        slots.append(seen[item])
        seen[item] += 1
    return Texts(
        language=language,
        ids=ids,
        items=items,
        slots=slots,
        texts=found["text"].to_pylist(),
        translations=None if translations is None else [translations[one] for one in ids],
        engine=engine,
        dropped=dropped,
    )
