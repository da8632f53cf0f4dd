"""The job: captions of one language out of a corpus, through engines, and back into the corpus.

Nothing but the cache is written before all is translated; then the captions are replaced at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import sole_writer, write_text
from dragoman.records import ROLES, SPLITS
from dragoman.translation.batches import Counts, TranslateOptions, translate_texts
from dragoman.translation.derivation import Derived, derive, merge
from dragoman.translation.engine import Engine, open_engine
from dragoman.translation.languages import language

DEFAULTS = TranslateOptions()


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


def translate(
    corpus_folder: str | Path,
    *,
    to: str,
    engine: str | Engine,
    back: str | Engine | None = None,
    source: str = "en",
    options: TranslateOptions = DEFAULTS,
) -> TranslationReport:
    """Translate the captions of language `source` into language `to` (BCP 47 tags).

    `engine` and `back` are specs such as `apertium:eng-spa|es-pt`, or engines. New captions have the role
    mt; with `back`, each gets a back-translation of the role back in the source language. The job can be
    killed and run again: it goes on where it was, and a finished one changes nothing. Captions that the
    engine fails on are listed in `rejected/translate-<source>-<to>.jsonl` in the corpus, and are not tried
    again without `options.retry_rejected`.

    Raises UserError for an unknown language or engine, an engine that is not installed or cannot work, and
    where no caption is selected.
    """
    to = language(to).tag
    if to == source:
        raise UserError(f"Source and target language are both {to!r}. Name two: --from en --to pt")
    folder = Path(corpus_folder)
    chosen = _select(Corpus.open(folder), source, options)
    there = engine if isinstance(engine, Engine) else open_engine(engine, source, to, device=options.device)
    if isinstance(back, str):
        back = open_engine(back, to, source, device=options.device)

    forth, forth_counts = _through(there, chosen, source, to, "mt", options)
    parts, back_counts = [forth], None
    if back:
        backward, back_counts = _through(back, forth.rows, to, source, "back", options)
        parts.append(backward)

    with sole_writer(folder):
        merge(Corpus.open(folder), chosen, parts)
        rejected = [row for part in parts for row in part.rejected]
        reject_file = _write_rejects(folder / "rejected" / f"translate-{source}-{to}.jsonl", rejected)
    return TranslationReport(
        captions=len(chosen),
        rejected=len(rejected),
        there=forth_counts,
        back=back_counts,
        reject_file=reject_file,
    )


def _select(corpus: Corpus, source: str, options: TranslateOptions) -> pa.Table:
    role, splits = options.role, options.splits
    for value, known in [(role, ROLES), *((split, SPLITS) for split in splits or ())]:
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
    return chosen


def _inventory(captions: pa.Table) -> str:
    counted = captions.group_by(["lang", "role"]).aggregate([([], "count_all")]).sort_by("lang").to_pylist()
    kinds = [f"{row['count_all']} {row['lang']} {row['role']}" for row in counted]
    return ", ".join(kinds) or "no captions at all"


def _through(
    engine: Engine, sources: pa.Table, source: str, to: str, role: str, options: TranslateOptions
) -> tuple[Derived, Counts]:
    outcomes, counts = translate_texts(sources["text"].to_pylist(), engine, source, to, options)
    return derive(sources, outcomes, engine, source, to, role), counts


def _write_rejects(path: Path, rows: Sequence[Mapping[str, str]]) -> Path | None:
    if not rows:
        path.unlink(missing_ok=True)
        return None
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
