"""Trust scores in lines for a terminal: a summary per language and engine, and the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import CORRECTS, Corpus
from dragoman.errors import UserError
from dragoman.languages import comparable
from dragoman.trust.calibration import GOOD, goodness, share_no_better

Floats = NDArray[np.float64]
_CORRECTED = ("item_id", "lang", CORRECTS.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSummary:
    """Trust of one engine in one language. Medians skip captions without the signal; null if none has it."""

    lang: str
    engine: str
    captions: int
    failed: int
    trust: Floats
    median_trust: float
    below_tenth: float
    """Share of the captions with trust below 0.1."""
    median_signals: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstLine:
    """One of the least trusted captions of its language."""

    caption_id: str
    lang: str
    engine: str
    source: str
    text: str
    back: str | None
    trust: float
    failure: str | None
    signals: dict[str, float]
    shares: dict[str, float]
    """For each signal the share of the language's captions that are no better."""


def engine_summaries(table: pa.Table) -> list[EngineSummary]:
    """One summary a language and engine, sorted, of the table that `score_trust` returns."""
    return [
        _summary(table.take(rows), lang, engine)
        for (lang, engine), rows in sorted(_rows_by(table, "lang", "engine").items())
    ]


def worst(table: pa.Table, count: int) -> dict[str, list[WorstLine]]:
    """The `count` least trusted captions of each language; equal translations are shown once."""
    return {
        lang: _worst(table.take(rows), count) for (lang,), rows in sorted(_rows_by(table, "lang").items())
    }


def summary_lines(table: pa.Table) -> Iterator[str]:
    """A table for the terminal."""
    yield f"{'lang':<6}{'engine':<28}{'captions':>9}{'failed':>8}{'median trust':>14}{'below 0.1':>11}"
    for row in engine_summaries(table):
        yield (
            f"{row.lang:<6}{row.engine:<28}{row.captions:>9,}{row.failed:>8,}"
            f"{row.median_trust:>14.3f}{row.below_tenth:>11.1%}"
        )


def worst_lines(table: pa.Table, count: int) -> Iterator[str]:
    """The worst captions for the terminal: trust, why, source, translation, back-translation, signals."""
    for lang, lines in worst(table, count).items() if count else ():
        yield f"\nworst in {lang}"
        for line in lines:
            why = f"  failed: {line.failure}" if line.failure else ""
            yield f"{line.trust:.3f}  {line.caption_id}  {line.engine}{why}"
            yield f"       source  {line.source}"
            yield f"       text    {line.text}"
            if line.back is not None:
                yield f"       back    {line.back}"
            yield "       " + "  ".join(f"{name} {value:.2f}" for name, value in line.signals.items())


def review_rows(
    table: pa.Table, corpus: Corpus, count: int, languages: Sequence[str] = ()
) -> list[tuple[object, ...]]:
    """The `count` least trusted captions of each language, or of those that are named, as rows of a sheet
    (`corpus.corrections.COLUMNS`), without those that people corrected."""
    captions = corpus.captions
    item_of = dict(zip(captions["caption_id"].to_pylist(), captions["item_id"].to_pylist(), strict=True))
    path_of = dict(zip(corpus.items["item_id"].to_pylist(), corpus.items["path"].to_pylist(), strict=True))
    if languages:
        wanted = [comparable(lang) for lang in languages]
        if strange := set(wanted) - set(table["lang"].to_pylist()):
            raise UserError(f"There are no machine captions in {', '.join(sorted(strange))} to review.")
        table = table.filter(pc.is_in(table["lang"], pa.array(wanted)))
    if CORRECTS.name in captions.column_names:
        done = captions.filter(pc.is_valid(captions[CORRECTS.name]))
        corrected = set(zip(*(done[name].to_pylist() for name in _CORRECTED), strict=True))
        said = zip(*(table[name].to_pylist() for name in ("caption_id", "lang", "text")), strict=True)
        is_open = [(item_of[caption_id], lang, text) not in corrected for caption_id, lang, text in said]
        table = table.filter(pa.array(is_open, pa.bool_()))
    rows: list[tuple[object, ...]] = []
    for lines in worst(table, count).values():
        for line in lines:
            item_id = item_of[line.caption_id]
            path = path_of[item_id] or ""
            trust, why = round(line.trust, 3), line.failure or ""
            rows.append((item_id, path, line.lang, line.source, line.text, trust, why, ""))
    return rows


def _summary(table: pa.Table, lang: str, engine: str) -> EngineSummary:
    trust = _column(table, "trust")
    trust = trust[~np.isnan(trust)]
    medians = {}
    for name in GOOD:
        values = _column(table, name)
        medians[name] = None if np.isnan(values).all() else float(np.nanmedian(values))
    return EngineSummary(
        lang=lang,
        engine=engine,
        captions=len(table),
        failed=len(table) - table["failure"].null_count,
        trust=trust,
        median_trust=float(np.median(trust)) if len(trust) else float("nan"),
        below_tenth=float((trust < 0.1).mean()) if len(trust) else float("nan"),
        median_signals=medians,
    )


def _worst(table: pa.Table, count: int) -> list[WorstLine]:
    shares = {name: share_no_better(goodness(_column(table, name), good)) for name, good in GOOD.items()}
    lines: dict[tuple[str, str], WorstLine] = {}
    for row in np.argsort(_column(table, "trust"), kind="stable"):
        if len(lines) == count:
            break
        record = table.slice(int(row), 1).to_pylist()[0]
        if record["trust"] is None or (record["source"], record["text"]) in lines:
            continue
        present = {name: record[name] for name in GOOD if record[name] is not None}
        lines[record["source"], record["text"]] = WorstLine(
            **{name: record[name] for name in ("caption_id", "lang", "source", "text", "back", "trust")},
            engine=record["engine"] or "unknown",
            failure=record["failure"],
            signals=present,
            shares={name: float(shares[name][row]) for name in present},
        )
    return list(lines.values())


def _column(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _rows_by(table: pa.Table, *names: str) -> dict[tuple[str, ...], list[int]]:
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*(table[name].to_pylist() for name in names), strict=True)):
        rows.setdefault(tuple(part or "unknown" for part in key), []).append(row)
    return rows
