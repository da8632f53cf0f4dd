"""The job: captions of one language out of a corpus, through engines, and back into the corpus.

Nothing but the cache is written before all is translated; then the captions are replaced at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dragoman.corpus.store import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.folders import sole_writer, write_text
from dragoman.records import ROLES, SPLITS
from dragoman.translation.batches import Counts, Settings, translate_texts
from dragoman.translation.cache import default_cache_folder
from dragoman.translation.engine import Engine, Rejected, open_engine, short_tag
from dragoman.translation.languages import language

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TranslationReport:
    """What a job did. `there` and `back` count distinct lines; `captions` and `rejected` count captions."""

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
class _Derived:
    """Captions made from others by one engine, and the rejected ones with their reasons."""

    rows: list[dict[str, Any]]
    planned: set[str]
    """Ids of all rows that there would be if nothing were rejected."""
    rejected: list[dict[str, Any]]


def translate(
    corpus_folder: str | Path,
    *,
    to: str,
    engine: str | Engine,
    back: str | Engine | None = None,
    source: str = "en",
    splits: Sequence[str] | None = None,
    role: str = "human",
    batch_size: int | None = None,
    timeout: float = Settings.timeout,
    device: str | None = None,
    cache: str | Path | None = None,
    retry_rejected: bool = False,
) -> TranslationReport:
    """Translate the captions of language `source` and role `role` into language `to` (BCP 47 tags).

    `engine` and `back` are specs such as `apertium:eng-spa|es-pt`, or engines. New captions have the role
    mt; with `back`, each gets a back-translation of the role back in the source language. `splits` are all
    by default. `timeout` is in seconds a batch; `cache` is a folder, by default one for all projects. The
    job can be killed and run again: it goes on where it was, and a finished one changes nothing. Captions
    that the engine fails on are listed in `rejected/translate-<source>-<to>.jsonl` in the corpus, and are
    not tried again without `retry_rejected`.

    Raises UserError for an unknown language or engine, an engine that is not installed or cannot work, and
    where no caption is selected.
    """
    settings = Settings(
        cache=Path(cache) if cache else default_cache_folder(),
        batch_size=batch_size,
        timeout=timeout,
        retry_rejected=retry_rejected,
    )
    to = language(to).tag
    if to == source:
        raise UserError(f"Source and target language are both {to!r}. Name two: --from en --to pt")
    folder = Path(corpus_folder)
    chosen = _select(Corpus.open(folder), source, role, splits)
    there = engine if isinstance(engine, Engine) else open_engine(engine, source, to, device=device)
    if isinstance(back, str):
        back = open_engine(back, to, source, device=device)

    forth, forth_counts = _derive(chosen, there, source, to, "mt", settings)
    parts, back_counts = [forth], None
    if back:
        backward, back_counts = _derive(forth.rows, back, to, source, "back", settings)
        parts.append(backward)

    with sole_writer(folder):
        _merge(Corpus.open(folder), chosen, parts)
        rejects = [row for part in parts for row in part.rejected]
        reject_file = _write_rejects(folder / "rejected" / f"translate-{source}-{to}.jsonl", rejects)
    return TranslationReport(
        captions=len(chosen),
        rejected=len(rejects),
        there=forth_counts,
        back=back_counts,
        reject_file=reject_file,
    )


def _select(corpus: Corpus, source: str, role: str, splits: Sequence[str] | None) -> list[dict[str, Any]]:
    for value, known in [(role, ROLES), *((split, SPLITS) for split in splits or ())]:
        if value not in known:
            raise UserError(f"{value!r} is none of {', '.join(known)}.")
    captions = corpus.captions
    wanted = pc.and_(pc.equal(captions["lang"], source), pc.equal(captions["role"], role))
    if splits:
        items = corpus.items
        chosen_items = items.filter(pc.is_in(items["split"], pa.array(list(splits))))["item_id"]
        wanted = pc.and_(wanted, pc.is_in(captions["item_id"], chosen_items.combine_chunks()))
    chosen: list[dict[str, Any]] = (
        captions.filter(wanted).select(["caption_id", "item_id", "lang", "text"]).to_pylist()
    )
    if not chosen:
        raise UserError(
            f"{corpus.folder} has no {role} caption in {source!r}"
            + (f" in the splits {', '.join(splits)}" if splits else "")
            + f". It has {_inventory(captions)}. Choose with --from, --role and --split."
        )
    return chosen


def _inventory(captions: pa.Table) -> str:
    counted = captions.group_by(["lang", "role"]).aggregate([([], "count_all")]).sort_by("lang").to_pylist()
    kinds = [f"{row['count_all']} {row['lang']} {row['role']}" for row in counted]
    return ", ".join(kinds) or "no captions at all"


def _derive(
    sources: Sequence[Mapping[str, Any]], engine: Engine, source: str, to: str, role: str, settings: Settings
) -> tuple[_Derived, Counts]:
    outcomes, counts = translate_texts((row["text"] for row in sources), engine, source, to, settings)
    tag = short_tag(engine)
    derived = _Derived([], set(), [])
    for row in sources:
        caption_id, outcome = f"{row['caption_id']}#{to}-{tag}", outcomes[row["text"]]
        derived.planned.add(caption_id)
        if isinstance(outcome, Rejected):
            rejected = {"caption_id": row["caption_id"], "source_lang": source, "target_lang": to}
            rejected |= {"engine": engine.name, "reason": outcome.reason, "text": row["text"]}
            derived.rejected.append(rejected)
            continue
        derived.rows.append(
            {
                "caption_id": caption_id,
                "item_id": row["item_id"],
                "lang": to,
                "role": role,
                "text": outcome,
                "source_id": row["caption_id"],
                "engine": engine.name,
                "trust": None,
            }
        )
    return derived, counts


def _merge(corpus: Corpus, chosen: Sequence[Mapping[str, Any]], parts: Sequence[_Derived]) -> None:
    """Add new rows, keep those that are the same with their trust, and drop what is no longer true."""
    captions = corpus.captions.cast(CAPTIONS)
    texts = dict(zip(captions["caption_id"].to_pylist(), captions["text"].to_pylist(), strict=True))
    if any(texts.get(row["caption_id"]) != row["text"] for row in chosen):
        raise UserError(
            f"The captions of {corpus.folder} changed while they were translated. Run the same command "
            "again; what was translated is kept."
        )
    rows = {row["caption_id"]: row for part in parts for row in part.rows}
    same = {caption_id for caption_id, row in rows.items() if texts.get(caption_id) == row["text"]}
    planned = set().union(*(part.planned for part in parts))
    stale = set(_with_offspring((planned - same) & texts.keys(), captions))
    new = [row for caption_id, row in rows.items() if caption_id not in same or caption_id in stale]
    if not new and not stale:
        log.info("%s holds all these translations already", corpus.folder)
        return
    gone = pc.is_in(captions["caption_id"], pa.array(sorted(stale), pa.string()))
    kept = captions.filter(pc.invert(gone))
    corpus.replace_captions(pa.concat_tables([kept, pa.Table.from_pylist(new, CAPTIONS)]))
    log.info("%s: %d captions added, %d replaced or removed", corpus.folder, len(new), len(stale))


def _with_offspring(caption_ids: set[str], captions: pa.Table) -> Iterator[str]:
    """The ids among the captions, and those of all captions translated from them."""
    generation = pa.array(sorted(caption_ids), pa.string())
    key = "caption_id"
    while len(generation):
        found = captions.filter(pc.is_in(captions[key], generation))["caption_id"].combine_chunks()
        yield from found.to_pylist()
        generation, key = found, "source_id"


def _write_rejects(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path | None:
    if not rows:
        path.unlink(missing_ok=True)
        return None
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
