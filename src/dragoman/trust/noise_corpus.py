"""A corpus with planted damage: what was damaged, how, and what stood there is in `noise.parquet`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dragoman.arrow import pa, pq
from dragoman.corpus.copies import write_copy
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.folders import stage
from dragoman.languages import comparable
from dragoman.records import SPLITS
from dragoman.translation.engine import open_engine
from dragoman.translation.texts import JobSettings, translate_texts
from dragoman.trust.noise import Damage, NoiseSettings, plant

NOISE = pa.schema(
    [("caption_id", pa.string()), ("kind", pa.string()), ("original", pa.string()), ("donor_id", pa.string())]
)
"""`original` is the text before the damage, `donor_id` the caption that a shuffled text was taken from."""

Row = dict[str, Any]

DROP, KEEP = "drop", "keep"
"""Dealings with the back-translations of damaged captions, beside an engine that makes true ones."""


def plant_noise(
    folder: str | Path,
    out: str | Path,
    *,
    languages: Sequence[str],
    config: NoiseSettings,
    splits: Sequence[str] = ("train", "val"),
    back: str = DROP,
) -> pa.Table:
    """Write a copy of a corpus with damaged machine translations and return the table of `noise.parquet`.

    Of the n captions of role mt of each language in `splits`, exactly round(rate * n) are damaged; human
    captions never are. A shuffled caption comes from another item of the same split and engine and brings
    its back-translation along; `back` says what becomes of the others (DROP, KEEP or an engine).
    All trust is cleared. Raises UserError for an unknown language, or where `out` holds anything else.
    """
    if unknown := [split for split in splits if split not in SPLITS]:
        raise UserError(f"No split {', '.join(unknown)}. Known: {', '.join(SPLITS)}.")
    corpus, target = Corpus.open(folder), Path(out)
    languages = tuple(map(comparable, languages))
    settings = asdict(config) | {"kinds": list(config.kinds), "languages": list(languages)}
    settings |= {"splits": list(splits), "back": back}
    inputs = corpus.fingerprint()
    fix = f"Give a new folder, or remove it first: rm -r {target}"
    with stage(target, CORPUS, {"inputs": inputs, "noise": settings}, replace=False, fix=fix) as work:
        if work.done is not None:
            return pq.read_table(target / "noise.parquet")
        captions, noise = _damaged_captions(corpus, languages, splits, config, back)
        write_copy(corpus, work.folder, {"captions": captions, "noise": noise}, noise=settings)
    return noise


def _damaged_captions(
    corpus: Corpus, languages: Sequence[str], splits: Sequence[str], config: NoiseSettings, back: str
) -> tuple[pa.Table, pa.Table]:
    """Return the captions with their damage, and the table of the damage."""
    rows = corpus.captions.to_pylist()
    split_of = _split_of(corpus, splits)
    planted = [one for lang in languages for one in _planted(rows, lang, split_of, config)]
    damages = {caption_id: damage for caption_id, damage, _ in planted}
    donors = {caption_id: donor_id for caption_id, _, donor_id in planted if donor_id is not None}
    originals = {row["caption_id"]: row["text"] for row in rows}
    noise = pa.Table.from_pylist(
        [
            {"caption_id": i, "kind": d.kind, "original": originals[i], "donor_id": donors.get(i)}
            for i, d in sorted(damages.items())
        ],
        schema=NOISE,
    )
    backs = _back_translations(rows, damages, donors, back)
    return pa.Table.from_pylist(_damaged(rows, damages, backs), schema=CAPTIONS), noise


def _planted(
    rows: Sequence[Row], lang: str, split_of: Mapping[str, str], config: NoiseSettings
) -> Iterator[tuple[str, Damage, str | None]]:
    """Yield the id of each damaged caption of a language, its damage, and the id of the donor of its text."""
    by_id = {row["caption_id"]: row for row in rows}
    machine = sorted((row for row in rows if row["role"] == "mt"), key=lambda row: str(row["caption_id"]))
    chosen = [row for row in machine if row["lang"] == lang and row["item_id"] in split_of]
    if not chosen:
        known = ", ".join(sorted({row["lang"] for row in machine})) or "none"
        raise UserError(
            f"The corpus holds no machine translation in {lang!r} in these splits (its languages: {known}). "
            f"Make some: dragoman translate CORPUS --to {lang} --engine ENGINE"
        )
    foreign: dict[str, list[str]] = defaultdict(list)
    for row in machine:
        if row["lang"] not in (lang, by_id[row["source_id"]]["lang"]):
            foreign[row["source_id"]].append(row["text"])
    planted = plant(
        [row["text"] for row in chosen],
        config,
        items=[row["item_id"] for row in chosen],
        pools=[(split_of[row["item_id"]], row["engine"]) for row in chosen],
        sources=[by_id[row["source_id"]]["text"] for row in chosen],
        foreign=[foreign[row["source_id"]] for row in chosen],
    )
    for position, damage in planted.items():
        donor_id = None if damage.donor is None else chosen[damage.donor]["caption_id"]
        yield chosen[position]["caption_id"], damage, donor_id


def _back_translations(
    rows: Sequence[Row], damages: Mapping[str, Damage], donors: Mapping[str, str], back: str
) -> dict[str, str]:
    """The back-translation of each damaged caption that still has one, by caption id.

    A shuffled caption brings its own along: an engine would have made the same of the same text. For other
    damage, `back` is "drop" (none: what the engine would have made is not known), "keep" (the old one: the
    damage came after back-translation), or an engine spec, which translates the damaged text for good.
    Damaged captions that had none before get none; those that the engine rejects lose theirs.
    """
    old = {row["source_id"]: row for row in rows if row["role"] == "back"}
    moved = {i: old[donor]["text"] for i, donor in donors.items() if donor in old}
    changed = [i for i in damages if i in old and i not in donors]
    if back == DROP:
        return moved
    if back == KEEP:
        return moved | {i: old[i]["text"] for i in changed}
    lang_of = {row["caption_id"]: row["lang"] for row in rows if row["caption_id"] in damages}
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for i in changed:
        pairs[lang_of[i], old[i]["lang"]].append(i)
    for (lang, source_lang), caption_ids in pairs.items():
        texts, engine = (damages[i].text for i in caption_ids), open_engine(back, lang, source_lang)
        outcomes, _ = translate_texts(texts, engine, lang, source_lang, JobSettings())
        found = {i: outcomes[damages[i].text] for i in caption_ids}
        moved |= {i: text for i, text in found.items() if isinstance(text, str)}
    return moved


def _damaged(rows: Sequence[Row], damages: Mapping[str, Damage], backs: Mapping[str, str]) -> list[Row]:
    result = []
    for row in rows:
        text: str | None = row["text"]
        if row["caption_id"] in damages:
            text = damages[row["caption_id"]].text
        elif row["role"] == "back" and row["source_id"] in damages:
            text = backs.get(row["source_id"])
        if text is not None:
            result.append(row | {"text": text, "trust": None})
    return result


def _split_of(corpus: Corpus, splits: Sequence[str]) -> dict[str, str]:
    items = corpus.items
    pairs = zip(items["item_id"].to_pylist(), items["split"].to_pylist(), strict=True)
    return {item_id: split for item_id, split in pairs if split in splits}
