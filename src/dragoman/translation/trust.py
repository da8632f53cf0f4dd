"""Trust of every machine caption of a corpus, from independent signals, without any human translation.

Writes `trust/signals.parquet` (one row a machine translation, one column a signal), `trust/manifest.json`,
and the column `trust` of the captions.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dragoman import progress
from dragoman.corpus.store import Corpus
from dragoman.errors import UserError
from dragoman.folders import atomic_path, sole_writer, write_manifest
from dragoman.translation import signals
from dragoman.translation.signals_lexical import explained, order
from dragoman.translation.trust_calibration import FAILED, GOOD, failure, trust_of

FORMAT = "dragoman-trust"
FORMAT_VERSION = 1
METHOD = 3
"""Raised whenever the same texts would get other scores."""
BATCH = 5_000
"""Captions after which the work is kept: a kill loses at most this many."""
LEXICON = 50_000
"""Captions that one lexicon is learnt from; it bounds the memory to about 1 GB."""

PAIRWISE = ("round_trip", "agreement", "length_ratio", "copied", "repetition", "script", "language")
SIGNALS = tuple(GOOD)
TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("caption_id", "lang", "engine", "source", "text", "back")),
        *((name, pa.float32()) for name in SIGNALS),
        ("failure", pa.string()),
        ("trust", pa.float32()),
    ]
)

Identify = Callable[[str, Sequence[str]], list[float | None]]
Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Translation:
    """A machine caption with what it is judged by. `others` are other engines' captions of the source."""

    caption_id: str
    lang: str
    engine: str | None
    source_lang: str
    source: str
    text: str
    back: str | None
    others: tuple[str, ...]


def score_trust(folder: str | Path, *, langid: bool = False) -> pa.Table:
    """Score the machine captions of a corpus and return the table of `trust/signals.parquet`.

    Captions of role mt are scored; a back-translation inherits the trust of the translation it was made
    from. Every language is calibrated by itself, all its engines together, so that the better engine of a
    language gets the higher trust (`trust_calibration.trust_of`). `langid` adds the signal `language`
    (extra langid). A run that was killed goes on where it was; the result is the same. Raises UserError
    where nothing is to score.
    """
    corpus = Corpus.open(folder)
    with sole_writer(corpus.folder):
        translations = sorted(_translations(corpus.captions), key=lambda t: t.caption_id)
        if not translations:
            raise UserError(
                f"{folder} holds no machine translation to score. "
                f"Make some: dragoman translate {folder} --to LANG --engine ENGINE --back ENGINE"
            )
        home = corpus.folder / "trust"
        key = _key(translations, "language" if langid else "")
        table = _finished(home, key)
        if table is None:
            table = _score(translations, home / "parts", langid)
            _write(home, table, key)
        shutil.rmtree(home / "parts", ignore_errors=True)
        _store_trust(corpus, table)
    return table


def _translations(captions: pa.Table) -> Iterator[Translation]:
    rows = captions.select(["caption_id", "lang", "role", "text", "source_id", "engine"]).to_pylist()
    by_id = {row["caption_id"]: row for row in rows}
    back_of = {row["source_id"]: row["text"] for row in rows if row["role"] == "back"}
    siblings: dict[tuple[str, str], list[tuple[str, str | None, str]]] = defaultdict(list)
    for row in rows:
        if row["role"] == "mt":
            siblings[row["source_id"], row["lang"]].append((row["caption_id"], row["engine"], row["text"]))
    for row in rows:
        if row["role"] == "mt":
            source = by_id[row["source_id"]]
            yield Translation(
                caption_id=row["caption_id"],
                lang=row["lang"],
                engine=row["engine"],
                source_lang=source["lang"],
                source=source["text"],
                text=row["text"],
                back=back_of.get(row["caption_id"]),
                others=tuple(
                    text
                    for caption_id, engine, text in sorted(siblings[row["source_id"], row["lang"]])
                    if caption_id != row["caption_id"] and engine != row["engine"]
                ),
            )


def _score(translations: Sequence[Translation], parts: Path, langid: bool) -> pa.Table:
    languages = sorted({t.lang for t in translations} | {t.source_lang for t in translations})
    identify = signals.language_identifier(languages) if langid else None
    settings = " ".join(languages) if langid else ""
    columns: dict[str, list[float | None]] = {name: [] for name in SIGNALS}
    with progress.bar(len(translations), "Scoring", "captions") as shown:
        for start in range(0, len(translations), BATCH):
            batch = translations[start : start + BATCH]
            part = _kept(parts / f"{_key(batch, settings)}.parquet", batch, identify)
            for name in PAIRWISE:
                columns[name] += part[name].to_pylist()
            shown.update(len(batch))
    columns |= _lexical(translations)
    return _calibrate(translations, columns)


def _kept(path: Path, batch: Sequence[Translation], identify: Identify | None) -> pa.Table:
    """The pairwise signals of a batch, read from `path` if an earlier run got that far."""
    if not path.is_file():
        part = pa.table({name: pa.array(v, pa.float32()) for name, v in _pairwise(batch, identify).items()})
        with atomic_path(path) as temporary:
            pq.write_table(part, temporary)
    return pq.read_table(path)


def _pairwise(batch: Sequence[Translation], identify: Identify | None) -> dict[str, list[float | None]]:
    language: list[float | None] = [None] * len(batch)
    if identify is not None:
        for lang, rows in _groups(t.lang for t in batch).items():
            for row, probability in zip(rows, identify(lang, [batch[row].text for row in rows]), strict=True):
                language[row] = probability
    return {
        "round_trip": [signals.round_trip(t.source, t.back) for t in batch],
        "agreement": [signals.agreement(t.text, t.others) for t in batch],
        "length_ratio": [signals.length_ratio(t.source, t.text) for t in batch],
        "copied": [signals.copied(t.source, t.text) for t in batch],
        "repetition": [signals.repetition(t.source, t.text) for t in batch],
        "script": [signals.script(t.lang, t.text) for t in batch],
        "language": language,
    }


def _lexical(translations: Sequence[Translation]) -> dict[str, list[float | None]]:
    """The signals `LEARNT`, for each engine and pair of languages by itself."""
    values = {"explained": np.full(len(translations), np.nan), "order": np.full(len(translations), np.nan)}
    for rows in _groups((t.source_lang, t.lang, t.engine) for t in translations).values():
        for start in range(0, len(rows), LEXICON):
            block = rows[start : start + LEXICON]
            sources, texts = (
                [translations[row].source for row in block],
                [translations[row].text for row in block],
            )
            values["explained"][block] = explained(sources, texts)
            values["order"][block] = order(texts)
    return {name: [None if np.isnan(x) else float(x) for x in array] for name, array in values.items()}


def _calibrate(translations: Sequence[Translation], columns: Mapping[str, list[float | None]]) -> pa.Table:
    # From the values as they are stored: rounding makes ties of what differs by the order of a sum only.
    arrays = {name: np.array(values, np.float32).astype(np.float64) for name, values in columns.items()}
    trust = np.full(len(translations), np.nan)
    number_of = {
        engine: number for number, engine in enumerate(dict.fromkeys(t.engine for t in translations))
    }
    engines = np.array([number_of[t.engine] for t in translations])
    for rows in _groups(t.lang for t in translations).values():
        trust[rows] = trust_of({name: values[rows] for name, values in arrays.items()}, engines[rows])
    failures = [
        failure(len(signals.words(t.text)), {name: columns[name][row] for name in columns})
        for row, t in enumerate(translations)
    ]
    failed = np.array([reason is not None for reason in failures])
    trust[failed] = np.minimum(np.nan_to_num(trust[failed], nan=FAILED), FAILED)
    described = {name: [getattr(t, name) for t in translations] for name in TABLE.names[:6]}
    return pa.table(
        described | dict(columns) | {"failure": failures, "trust": pa.array(trust, from_pandas=True)}
    ).cast(TABLE)


def _store_trust(corpus: Corpus, table: pa.Table) -> None:
    """Set the column `trust`; the file stays as it is where nothing changes."""
    trust_of_id = dict(zip(table["caption_id"].to_pylist(), table["trust"].to_pylist(), strict=True))
    captions = corpus.captions
    trust = [
        trust_of_id.get(source_id if role == "back" else caption_id)
        for caption_id, role, source_id in zip(
            *(captions[name].to_pylist() for name in ("caption_id", "role", "source_id")), strict=True
        )
    ]
    column = pa.chunked_array([pa.array(trust, pa.float32())])
    if captions["trust"].combine_chunks() == column.combine_chunks():
        return
    place = captions.schema.get_field_index("trust")
    corpus.replace_captions(captions.set_column(place, captions.schema.field("trust"), column))


def _finished(home: Path, key: str) -> pa.Table | None:
    """The table of an earlier run over the same texts, if there is one."""
    path = home / "signals.parquet"
    if not path.is_file() or not (home / "manifest.json").is_file():
        return None
    if (pq.read_schema(path).metadata or {}).get(b"dragoman.key") != key.encode():
        return None
    return pq.read_table(path)


def _write(home: Path, table: pa.Table, key: str) -> None:
    with atomic_path(home / "signals.parquet") as temporary:
        pq.write_table(table.replace_schema_metadata({"dragoman.key": key}), temporary, compression="zstd")
    present = [name for name in SIGNALS if table[name].null_count < len(table)]
    write_manifest(
        home,
        format=FORMAT,
        format_version=FORMAT_VERSION,
        inputs={"captions": key},
        captions=len(table),
        signals=present,
    )


def _key(translations: Sequence[Translation], settings: str) -> str:
    """Hash of all that the scores depend on: equal keys, equal scores."""
    digest = hashlib.sha256(f"{METHOD} {SIGNALS} {settings}".encode())
    for translation in translations:
        digest.update(repr(astuple(translation)).encode())
    return digest.hexdigest()


def _groups(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """Positions of each key, in order."""
    rows: dict[Key, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return rows
