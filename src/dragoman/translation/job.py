"""The job: captions of one language out of a corpus, through engines, and back into the corpus.

Nothing but the cache is written before all is translated; then the captions are replaced at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.folders import remove_torn, sole_writer, write_text
from dragoman.languages import comparable, language
from dragoman.records import CAPTION_ROLES, SPLITS
from dragoman.translation.engine import Engine, Rejected, open_engine, short_tag
from dragoman.translation.texts import Counts, JobSettings, translate_texts

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TranslateSettings(JobSettings):
    """Settings of `translate`: which captions, and the dealings with the engine."""

    role: str = "human"
    """Role of the captions that are translated: human, mt or back."""
    splits: Sequence[str] | None = None
    """Splits of the captions that are translated, as in val,test; all where not given."""
    most: int | None = None
    """So many of these captions at most, at equal distances: 2,000 tell where a language stands."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most is not None and self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")


DEFAULTS = TranslateSettings()


@dataclass(frozen=True, kw_only=True)
class TranslationReport:
    """Counts of a job. `there` and `back` count distinct lines; `captions` and `rejected` count captions."""

    captions: int
    """Captions that were to be translated."""
    rejected: int
    """Captions without translation or, where it was asked for, without back-translation."""
    there: Counts
    back: Counts | None
    reject_file: Path | None
    """JSON Lines, one rejected caption a line with its reason; null where there is none."""

    @property
    def translated(self) -> int:
        """Lines that the engines translated in this run, back-translations included."""
        return self.there.translated + (self.back.translated if self.back else 0)

    @property
    def cached(self) -> int:
        """Lines that were translated already."""
        return self.there.cached + (self.back.cached if self.back else 0)


@dataclass(frozen=True, slots=True)
class Derived:
    """The captions that one engine made of others, and what it rejected."""

    rows: pa.Table
    """Columns of `CAPTIONS`."""
    planned: list[str]
    """Ids of all rows that there would be if nothing were rejected."""
    rejected: list[dict[str, str]]
    """One object a rejected caption, as the list of rejects shows it."""


def translate(
    corpus_folder: str | Path,
    *,
    to: str,
    engine: str | Engine,
    back: str | Engine | None = None,
    source: str = "en",
    settings: TranslateSettings = DEFAULTS,
) -> TranslationReport:
    """Translate the captions of language `source` into language `to` (BCP 47 tags).

    `engine` and `back` are specs such as `apertium:eng-spa|es-pt`, or engines. New captions have the role
    mt; with `back`, each gets a back-translation of the role back in the source language. The job can be
    killed and run again: it goes on where it was, and a finished one changes nothing. Captions that the
    engine fails on are listed in `rejected/translate-<source>-<to>.jsonl` in the corpus, and are not tried
    again without `settings.retry_rejected`.

    Raises UserError for an unknown language or engine, an engine that is not installed or cannot work, and
    where no caption is selected.
    """
    source, to = comparable(source), language(to).tag
    if to == source:
        raise UserError(f"Source and target language are both {to!r}. Name two: --from en --to pt")
    folder = Path(corpus_folder)
    chosen = _select(Corpus.open(folder), source, settings)
    there = engine if isinstance(engine, Engine) else open_engine(engine, source, to, device=settings.device)
    if isinstance(back, str):
        back = open_engine(back, to, source, device=settings.device)

    forth, forth_counts = _translated(chosen, there, source, to, "mt", settings)
    parts, back_counts = [forth], None
    if back:
        backward, back_counts = _translated(forth.rows, back, to, source, "back", settings)
        parts.append(backward)

    # Translating may take days, and holds no lock: the captions are read again, and compared, by `_merge`.
    with sole_writer(folder):
        remove_torn(folder / "rejected")
        _merge(Corpus.open(folder), chosen, parts)
        rejected = [row for part in parts for row in part.rejected]
        reject_file = _write_rejects(folder / "rejected" / f"translate-{source}-{to}.jsonl", rejected)
    return TranslationReport(
        captions=len(chosen),
        rejected=len(rejected),
        there=forth_counts,
        back=back_counts,
        reject_file=reject_file,
    )


def _select(corpus: Corpus, source: str, settings: TranslateSettings) -> pa.Table:
    role, splits = settings.role, settings.splits
    for value, known in [(role, CAPTION_ROLES), *((split, SPLITS) for split in splits or ())]:
        if value not in known:
            raise UserError(f"{value!r} is none of {', '.join(known)}.")
    found = corpus.select(role=role, lang=source, split=splits or None)
    chosen = found.table.select(["caption_id", "item_id", "text"])
    if not len(chosen):
        raise UserError(
            f"{corpus.folder} has no {role} caption in {source!r}"
            + (f" in the splits {', '.join(splits)}" if splits else "")
            + f". It has {_inventory(corpus.captions)}. Choose with --from, --role and --split."
        )
    count, most = len(chosen), settings.most
    if most is None or count <= most:
        return chosen
    return chosen.take(pa.array([row * count // most for row in range(most)]))


def _inventory(captions: pa.Table) -> str:
    counted = captions.group_by(["lang", "role"]).aggregate([([], "count_all")]).sort_by("lang").to_pylist()
    kinds = [f"{row['count_all']} {row['lang']} {row['role']}" for row in counted]
    return ", ".join(kinds) or "no captions at all"


def _translated(
    sources: pa.Table, engine: Engine, source: str, to: str, role: str, settings: JobSettings
) -> tuple[Derived, Counts]:
    """Translate `sources` (caption_id, item_id, text) into captions of `role` in language `to`.

    A caption's id is its source's with language and engine behind it, the same in every run.
    """
    outcomes, counts = translate_texts(sources["text"].to_pylist(), engine, source, to, settings)
    tag, planned, rows, rejected = short_tag(engine), [], [], []
    for caption in sources.to_pylist():
        source_id, text = caption["caption_id"], caption["text"]
        new_id = f"{source_id}#{to}-{tag}"
        planned.append(new_id)
        outcome = outcomes[text]
        if isinstance(outcome, Rejected):
            place = {"caption_id": source_id, "source_lang": source, "target_lang": to}
            rejected.append(place | {"engine": engine.name, "reason": outcome.reason, "text": text})
        else:
            row = {"caption_id": new_id, "item_id": caption["item_id"], "source_id": source_id}
            rows.append(row | {"lang": to, "role": role, "text": outcome, "engine": engine.name})
    return Derived(pa.Table.from_pylist(rows, schema=CAPTIONS), planned, rejected), counts


def _merge(corpus: Corpus, sources: pa.Table, parts: Sequence[Derived]) -> None:
    """Write `parts` into the corpus, each in the order of its sources; rows that are there keep their trust.

    Rows of an earlier version of the engine, of a caption that is gone, and all that was made of them, are
    replaced or removed. Where nothing changes nothing is written. Hold `sole_writer`. Raises UserError where
    the corpus' captions are no longer the `sources`.
    """
    captions = corpus.captions
    texts = dict(zip(captions["caption_id"].to_pylist(), captions["text"].to_pylist(), strict=True))
    if any(texts.get(caption_id) != text for caption_id, text in _id_and_text(sources)):
        raise UserError(
            f"The captions of {corpus.folder} changed while they were translated. Run the same command "
            "again; what was translated is kept."
        )
    rows = pa.concat_tables([part.rows for part in parts])
    # A caption with the text that it had keeps its row, and with it the trust that was paid for.
    same = {caption_id for caption_id, text in _id_and_text(rows) if texts.get(caption_id) == text}
    outdated = {i for part in parts for i in part.planned if i in texts and i not in same}
    named = zip(captions["caption_id"].to_pylist(), captions["source_id"].to_pylist(), strict=True)
    orphans = {caption_id for caption_id, origin in named if origin is not None and origin not in texts}
    # The back-translation of a text that is gone would vouch for another one.
    stale = set(_with_offspring(outdated | orphans, captions))
    new = rows.filter(pc.invert(_is_in(rows["caption_id"], same - stale)))
    if not len(new) and not stale:
        log.info("%s holds all these translations already", corpus.folder)
        return
    kept = captions.filter(pc.invert(_is_in(captions["caption_id"], stale)))
    # Columns that others added stay, null for the new rows.
    joined = pa.concat_tables([kept, new], promote_options="default")
    corpus.replace_captions(_in_order(joined, [part.planned for part in parts]))
    log.info("%s: %d captions added, %d replaced or removed", corpus.folder, len(new), len(stale))


def _in_order(captions: pa.Table, blocks: Sequence[Sequence[str]]) -> pa.Table:
    """Put the captions of each block together and in its order, as if they had all come at once."""
    ids = captions["caption_id"].to_pylist()
    row_of = {caption_id: row for row, caption_id in enumerate(ids)}
    block_N, place_N = np.arange(len(ids)), np.zeros(len(ids), np.int64)
    for block in blocks:
        if rows := [row_of[caption_id] for caption_id in block if caption_id in row_of]:
            block_N[rows], place_N[rows] = min(rows), range(len(rows))
    return captions.take(pa.array(np.lexsort((place_N, block_N))))


def _id_and_text(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["caption_id"].to_pylist(), table["text"].to_pylist(), strict=True)


def _is_in(column: pa.ChunkedArray, values: set[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))


def _with_offspring(caption_ids: set[str], captions: pa.Table) -> Iterator[str]:
    """These ids, and those of all captions translated from them."""
    generation = caption_ids
    while generation:
        yield from generation
        generation = set(captions.filter(_is_in(captions["source_id"], generation))["caption_id"].to_pylist())


def _write_rejects(path: Path, rows: Sequence[Mapping[str, str]]) -> Path | None:
    if not rows:
        path.unlink(missing_ok=True)
        return None
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
