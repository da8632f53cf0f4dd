"""Captions made from other captions: their rows, and how they join the captions that a corpus has."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.translation.engine import Engine, Rejected, short_tag
from dragoman.translation.lines import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Derived:
    """The captions that one engine made of others, and what it rejected."""

    rows: pa.Table
    """Columns of `CAPTIONS`."""
    planned: list[str]
    """Ids of all rows that there would be if nothing were rejected."""
    rejected: list[dict[str, str]]
    """One object a rejected caption, as the list of rejects shows it."""


def derive(
    sources: pa.Table, outcomes: Mapping[str, Outcome], engine: Engine, source: str, to: str, role: str
) -> Derived:
    """Rows of `role` in language `to` for the captions `sources` (caption_id, item_id, text).

    A caption's id is its source's with language and engine behind it, the same in every run.
    """
    tag = short_tag(engine)
    columns = [sources[name].to_pylist() for name in ("caption_id", "item_id", "text")]
    planned = [f"{source_id}#{to}-{tag}" for source_id in columns[0]]
    ids: list[str] = []
    items: list[str] = []
    texts: list[str] = []
    source_ids: list[str] = []
    rejected: list[dict[str, str]] = []
    for new_id, source_id, item_id, text in zip(planned, *columns, strict=True):
        outcome = outcomes[text]
        if isinstance(outcome, Rejected):
            place = {"caption_id": source_id, "source_lang": source, "target_lang": to}
            rejected.append(place | {"engine": engine.name, "reason": outcome.reason, "text": text})
            continue
        ids.append(new_id)
        items.append(item_id)
        texts.append(outcome)
        source_ids.append(source_id)
    count = len(ids)
    trust = [None] * count
    values = [ids, items, [to] * count, [role] * count, texts, source_ids, [engine.name] * count, trust]
    rows = pa.Table.from_pydict(dict(zip(CAPTIONS.names, values, strict=True)), schema=CAPTIONS)
    return Derived(rows, planned, rejected)


def merge(corpus: Corpus, sources: pa.Table, parts: Sequence[Derived]) -> None:
    """Write `parts` into the corpus: rows that are there already keep their place and their trust.

    Rows of an earlier version of the engine, and all that was made of them, are replaced or removed. Where
    nothing changes nothing is written. Hold `sole_writer`. Raises UserError where the corpus' captions are
    no longer the `sources`.
    """
    captions = corpus.captions
    texts = dict(zip(captions["caption_id"].to_pylist(), captions["text"].to_pylist(), strict=True))
    if any(texts.get(caption_id) != text for caption_id, text in _id_and_text(sources)):
        raise UserError(
            f"The captions of {corpus.folder} changed while they were translated. Run the same command "
            "again; what was translated is kept."
        )
    rows = pa.concat_tables([part.rows for part in parts])
    same = {caption_id for caption_id, text in _id_and_text(rows) if texts.get(caption_id) == text}
    outdated = {i for part in parts for i in part.planned if i in texts and i not in same}
    stale = set(_with_offspring(outdated, captions))
    new = rows.filter(pc.invert(_is_in(rows["caption_id"], same - stale)))
    if not len(new) and not stale:
        log.info("%s holds all these translations already", corpus.folder)
        return
    kept = captions.filter(pc.invert(_is_in(captions["caption_id"], stale)))
    # Columns that others added stay, null for the new rows.
    corpus.replace_captions(pa.concat_tables([kept, new], promote_options="default"))
    log.info("%s: %d captions added, %d replaced or removed", corpus.folder, len(new), len(stale))


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
