"""Trust of every machine caption of a corpus, from independent signals, without any human translation.

Writes `trust/signals.parquet` (one row a machine translation, one column a signal), `trust/manifest.json`,
and the column `trust` of the captions.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dragoman import progress
from dragoman.arrow import pa, pq
from dragoman.corpus.corpus import Corpus
from dragoman.errors import DamagedError, UserError
from dragoman.folders import (
    MANIFEST,
    atomic_path,
    read_sealed,
    remove_torn,
    sole_writer,
    write_sealed,
)
from dragoman.models.text.vectors import KeptVectors
from dragoman.retrievers.base import Model
from dragoman.trust import signals
from dragoman.trust.aids import Aids, ModelSignals
from dragoman.trust.calibration import FAILED, GOOD, LEARNT, failure, trust_of
from dragoman.trust.evidence import Bridge, Translation, translations
from dragoman.trust.format import TRUST
from dragoman.trust.signals_learnt import expected, explained, order, sentences

METHOD = 7
"""Raised whenever the same texts would get other scores."""
BATCH = 5_000
"""Captions after which the work is kept: a kill loses at most this many."""
LEXICON = 50_000
"""Captions that one lexicon is learnt from; it bounds the memory to about 1 GB."""

PAIRWISE = (
    "round_trip",
    "recovered",
    "agreement",
    "known",
    "length_ratio",
    "copied",
    "repetition",
    "script",
    "language",
    "image",
    "meaning",
)
SENTENCES = ("sem", "margin", "geometry")
SIGNALS = tuple(GOOD)
DESCRIBED = ("caption_id", "lang", "engine", "source", "text", "back")
TABLE = pa.schema(
    [
        *((name, pa.string()) for name in DESCRIBED),
        *((name, pa.float32()) for name in SIGNALS),
        ("failure", pa.string()),
        ("trust", pa.float32()),
    ]
)

Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


def score_trust(
    folder: str | Path,
    *,
    langid: bool = False,
    words: Mapping[str, str | Path] | None = None,
    bridges: Sequence[Bridge] = (),
    model: Model | None = None,
    kept: KeptVectors | None = None,
    cache: str | Path | None = None,
) -> pa.Table:
    """Score the machine captions of a corpus and return the table of `trust/signals.parquet`.

    Captions of role mt are scored; a back-translation inherits the trust of the translation it was made
    from. Every language is judged by itself, all its engines together, so that the better engine of a
    language gets the higher trust (`calibration.trust_of`). `langid` adds the signal `language`
    (extra langid), `words` (language to a file with one word a line) the signal `known`; `bridges` bring
    captions of related languages into `agreement`, through the translation cache; a trained `model`
    (`dragoman.Retriever`) adds `image` and `meaning`, and the vectors that a sentence encoder made of the
    captions and that were `kept` (`features.texts.KeptTexts`) add `sem`, `margin` and `geometry`. A run that
    was killed goes on where it was; the result is the same. Raises UserError where nothing is to score.
    """
    corpus = Corpus.open(folder)
    with sole_writer(corpus.folder):
        found = translations(corpus.captions, bridges, Path(cache) if cache else None)
        if not found:
            raise UserError(
                f"{folder} holds no machine translation to score. "
                f"Make some: dragoman translate {folder} --to LANG --engine ENGINE --back ENGINE"
            )
        aids = Aids(found, langid, words or {}, ModelSignals(model, corpus) if model else None)
        home = corpus.folder / "trust"
        remove_torn(home)
        key = _key(found, aids.settings if kept is None else f"{aids.settings} {kept.made_by}")
        table = _finished(home, key)
        if table is None:
            table = _score(found, home / "parts", aids, kept)
            _write(home, table, key)
        # In this order: a kill after the table is there loses nothing, and the column is set by the next run.
        shutil.rmtree(home / "parts", ignore_errors=True)
        _store_trust(corpus, table)
    return table


def _score(judged: Sequence[Translation], parts: Path, aids: Aids, kept: KeptVectors | None) -> pa.Table:
    columns: dict[str, list[float | None]] = {name: [] for name in SIGNALS}
    with progress.bar(len(judged), "Scoring", "captions") as shown:
        for start in range(0, len(judged), BATCH):
            batch = judged[start : start + BATCH]
            part = _kept(parts / f"{_key(batch, aids.settings)}.json", batch, aids)
            for name in PAIRWISE:
                columns[name] += part[name].to_pylist()
            shown.update(len(batch))
    columns |= _lexical(judged)
    columns["expected"] = _expected(judged, columns["agreement"])
    columns |= _sentences(judged, kept)
    return _calibrate(judged, columns)


def _kept(path: Path, batch: Sequence[Translation], aids: Aids) -> pa.Table:
    """The pairwise signals of a batch, read from `path` if an earlier run got that far, sound."""
    if path.is_file():
        with suppress(UserError):
            return _part(read_sealed(path, "", sealed=True))
    part = _part(_pairwise(batch, aids))
    write_sealed(path, part.to_pydict())
    return part


def _part(values: Mapping[str, list[float | None]]) -> pa.Table:
    return pa.table({name: pa.array(values[name], pa.float32()) for name in PAIRWISE})


def _pairwise(batch: Sequence[Translation], aids: Aids) -> dict[str, list[float | None]]:
    unseen: list[float | None] = [None] * len(batch)
    language = list(unseen)
    if aids.identify is not None:
        for lang, rows in _groups(t.lang for t in batch).items():
            for row, probability in zip(
                rows, aids.identify(lang, [batch[row].text for row in rows]), strict=True
            ):
                language[row] = probability
    return {
        "round_trip": [signals.round_trip(t.source, t.back) for t in batch],
        "recovered": [signals.recovered(t.source, t.text, t.back) for t in batch],
        "agreement": [signals.agreement(t.text, t.others) for t in batch],
        "known": [
            signals.known(t.source, t.text, aids.vocabulary[t.lang]) if t.lang in aids.vocabulary else None
            for t in batch
        ],
        "length_ratio": [signals.length_ratio(t.source, t.text) for t in batch],
        "copied": [signals.copied(t.source, t.text) for t in batch],
        "repetition": [signals.repetition(t.source, t.text) for t in batch],
        "script": [signals.script(t.lang, t.text) for t in batch],
        "language": language,
        **(aids.model.of(batch) if aids.model else {"image": unseen, "meaning": unseen}),
    }


def _lexical(judged: Sequence[Translation]) -> dict[str, list[float | None]]:
    """The signals `LEARNT`, for each engine and pair of languages by itself."""
    values = {name: np.full(len(judged), np.nan) for name in LEARNT}
    for rows in _groups((t.source_lang, t.lang, t.engine) for t in judged).values():
        # In blocks, for the pairs of words of all captions stand in memory at once.
        for start in range(0, len(rows), LEXICON):
            block = rows[start : start + LEXICON]
            sources, texts = [judged[row].source for row in block], [judged[row].text for row in block]
            values["explained"][block] = explained(sources, texts)
            values["supported"][block] = explained(texts, sources)
            values["order"][block] = order(texts)
    return {name: _nullable(array) for name, array in values.items()}


def _sentences(judged: Sequence[Translation], kept: KeptVectors | None) -> dict[str, list[float | None]]:
    """The signals of sentence vectors, for each engine and pair of languages by itself."""
    values: dict[str, Floats] = {name: np.full(len(judged), np.nan) for name in SENTENCES}
    if kept is None:
        return {name: _nullable(array) for name, array in values.items()}
    for rows in _groups((t.source_lang, t.lang, t.engine) for t in judged).values():
        # In blocks, for the vectors of all captions stand in memory at once.
        for start in range(0, len(rows), LEXICON):
            block = rows[start : start + LEXICON]
            source_CJ = kept.vectors([judged[row].source for row in block])
            text_CJ = kept.vectors([judged[row].text for row in block])
            for name, found in sentences(source_CJ, text_CJ).items():
                values[name][block] = found
    return {name: _nullable(array) for name, array in values.items()}


def _expected(judged: Sequence[Translation], agreement: Sequence[float | None]) -> list[float | None]:
    """Agreement as captions of other sources let it be expected, for each language by itself."""
    agreed = np.array(agreement, np.float32).astype(np.float64)
    values = np.full(len(judged), np.nan)
    for rows in _groups(t.lang for t in judged).values():
        chosen = [judged[row] for row in rows]
        sources, texts = [t.source for t in chosen], [t.text for t in chosen]
        values[rows] = expected(sources, texts, [t.item_id for t in chosen], agreed[rows])
    return _nullable(values)


def _nullable(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _calibrate(judged: Sequence[Translation], columns: Mapping[str, list[float | None]]) -> pa.Table:
    # From the values as they are stored: rounding makes ties of what differs by the order of a sum only.
    arrays = {name: np.array(values, np.float32).astype(np.float64) for name, values in columns.items()}
    trust = np.full(len(judged), np.nan)
    number_of = {engine: number for number, engine in enumerate(dict.fromkeys(t.engine for t in judged))}
    engines = np.array([number_of[t.engine] for t in judged])
    for rows in _groups(t.lang for t in judged).values():
        trust[rows] = trust_of({name: values[rows] for name, values in arrays.items()}, engines[rows])
    failures = [
        failure(len(signals.words(t.text)), {name: columns[name][row] for name in columns})
        for row, t in enumerate(judged)
    ]
    failed = np.array([reason is not None for reason in failures])
    trust[failed] = np.minimum(np.nan_to_num(trust[failed], nan=FAILED), FAILED)
    described = {name: [getattr(t, name) for t in judged] for name in DESCRIBED}
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
    if not path.is_file() or not (home / MANIFEST).is_file():
        return None
    try:
        TRUST.read(home)
    except DamagedError:
        return None  # the same command makes it anew
    # The key is in the table, since a kill between table and manifest must not pair a new one with an old.
    if (pq.read_schema(path).metadata or {}).get(b"dragoman.key") != key.encode():
        return None
    return pq.read_table(path)


def _write(home: Path, table: pa.Table, key: str) -> None:
    with atomic_path(home / "signals.parquet") as temporary:
        pq.write_table(table.replace_schema_metadata({"dragoman.key": key}), temporary, compression="zstd")
    present = [name for name in SIGNALS if table[name].null_count < len(table)]
    TRUST.write(home, inputs={"captions": key}, captions=len(table), signals=present)


def _key(judged: Sequence[Translation], settings: str) -> str:
    """Hash of all that the scores depend on: equal keys, equal scores."""
    # Texts and not ids alone: a caption edited by hand must be judged anew.
    digest = hashlib.sha256(f"{METHOD} {SIGNALS} {settings}".encode())
    for translation in judged:
        digest.update(repr(astuple(translation)).encode())
    return digest.hexdigest()


def _groups(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """Positions of each key, in order."""
    rows: dict[Key, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return rows
