"""Evidence on a machine caption: its source, its back-translation, what other engines made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.arrow import pa
from dragoman.translation.engine import open_engine
from dragoman.translation.texts import JobSettings, translate_texts

COLUMNS = ("caption_id", "item_id", "lang", "role", "text", "source_id", "engine")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """A machine caption with what it is judged by. `others` are captions of its source by other engines."""

    caption_id: str
    item_id: str
    lang: str
    engine: str | None
    source_lang: str
    source: str
    text: str
    back: str | None
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """An engine that brings captions of a related language into the judged one, to compare them there."""

    source: str
    target: str
    engine: str


def translations(
    captions: pa.Table, bridges: Sequence[Bridge] = (), cache: Path | None = None
) -> list[Translation]:
    """The machine translations of a corpus, by caption id.

    Captions of the same source by independent engines become `others`: those in the same language, and those
    that a bridge translates (cached; what the engine rejects is left out).
    """
    rows = captions.select(list(COLUMNS)).to_pylist()
    by_id = {row["caption_id"]: row for row in rows}
    back_of = {row["source_id"]: row["text"] for row in rows if row["role"] == "back"}
    # Sorted by id, so that the order of the rows of a corpus changes neither the result nor its key.
    machine = sorted((row for row in rows if row["role"] == "mt"), key=lambda row: str(row["caption_id"]))
    siblings: dict[tuple[str, str], list[tuple[str | None, str]]] = defaultdict(list)
    for row in machine:
        siblings[row["source_id"], row["lang"]].append((row["engine"], row["text"]))
    for bridge in bridges:
        wanted = {row["source_id"] for row in machine if row["lang"] == bridge.target}
        chosen = [row for row in machine if row["lang"] == bridge.source and row["source_id"] in wanted]
        for row, text in _bridged(chosen, bridge, cache):
            siblings[row["source_id"], bridge.target].append((row["engine"], text))
    return [
        Translation(
            caption_id=row["caption_id"],
            item_id=row["item_id"],
            lang=row["lang"],
            engine=row["engine"],
            source_lang=by_id[row["source_id"]]["lang"],
            source=by_id[row["source_id"]]["text"],
            text=row["text"],
            back=back_of.get(row["caption_id"]),
            others=tuple(
                text
                for engine, text in siblings[row["source_id"], row["lang"]]
                if independent(engine, row["engine"])
            ),
        )
        for row in machine
    ]


def independent(one: str | None, other: str | None) -> bool:
    """Tell whether two engines share no step, so that one can vouch for the other.

    The steps of `apertium:eng-spa|es-pt` are eng-spa and es-pt: what it made of a caption is the Spanish of
    `apertium:eng-spa` once more. Two unnamed engines may be the same.
    """
    return not _steps(one) & _steps(other)


def _steps(engine: str | None) -> set[str]:
    kind, colon, steps = (engine or "").partition("?")[0].partition(":")
    return {f"{kind}:{step.strip()}" for step in steps.split("|")} if colon else {kind}


def _bridged(rows: Sequence[Row], bridge: Bridge, cache: Path | None) -> Iterator[tuple[Row, str]]:
    engine = open_engine(bridge.engine, bridge.source, bridge.target)
    settings = JobSettings(cache=cache)
    outcomes, _ = translate_texts(
        (row["text"] for row in rows), engine, bridge.source, bridge.target, settings
    )
    for row in rows:
        outcome = outcomes[row["text"]]
        if isinstance(outcome, str):
            yield row, outcome
