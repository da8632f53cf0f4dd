"""A corpus of a few dozen made-up items whose captions name what their vectors hold, and tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from checksums import without_checksums
from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.recipes import load_recipe
from dragoman.training import TrainConfig

# Four nouns, four things, four looks, four verbs.
EN = ("dog", "cat", "bird", "horse", "ball", "tree", "boat", "hill")
EN += ("red", "blue", "green", "old", "runs", "sleeps", "jumps", "waits")
PT = ("cão", "gato", "pássaro", "cavalo", "bola", "árvore", "barco", "monte")
PT += ("vermelho", "azul", "verde", "velho", "corre", "dorme", "salta", "espera")
DE = ("Hund", "Katze", "Vogel", "Pferd", "Ball", "Baum", "Boot", "Hügel")
DE += ("rot", "blau", "grün", "alt", "rennt", "schläft", "springt", "wartet")
TO = {"en": EN, "pt": PT, "de": DE}
WIDTH = 24
SIZES = {"train": 40, "val": 12, "test": 12}
TINY = {
    "epochs": "4",
    "batch_size": "8",
    "synonyms": "0",
    "renderings": "0",
    "text.width": "16",
    "text.heads": "2",
    "text.feed_forward": "32",
    "text.min_count": "1",
    "dual.joint": "16",
    "dual.hidden": "16",
    "dual.heads": "2",
    "dual.key_width": "16",
}


def write_world(folder: Path, targets: tuple[str, ...] = ("pt",), shuffled: float = 0, **sizes: int) -> Path:
    """Two English captions an item, translated word by word, and back with one word dropped.

    `shuffled` is the share of translations in training that went to another caption.
    """
    draws = np.random.default_rng(7)
    meaning = draws.standard_normal((len(EN), WIDTH))
    items, captions, vectors = [], [], []
    for split, count in (SIZES | sizes).items():
        for number in range(count):
            item = f"{split}{number:03d}"
            seen = [draws.choice(part, 2, replace=False) for part in np.arange(len(EN)).reshape(4, 4)]
            items.append({"item_id": item, "kind": "image", "path": None, "split": split})
            vectors.append(sum(meaning[one] for pair in seen for one in pair))
            for slot in range(2):
                captions += _captions(item, slot, [int(pair[slot]) for pair in seen], targets)
    _shuffle(captions, shuffled, draws)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(items, schema=ITEMS), folder / "items.parquet")
    write_captions(folder, captions)
    ids = [item["item_id"] for item in items]
    write_features(folder / "features" / "toy", ids, np.array(vectors), inputs={"toy": "1"})
    CORPUS.write(folder, inputs={})
    return folder


def _captions(item: str, slot: int, words: list[int], targets: tuple[str, ...]) -> list[dict[str, Any]]:
    def one(name: str, lang: str, role: str, words: list[int], source: str | None) -> dict[str, Any]:
        text = " ".join(TO[lang][word] for word in words)
        row = {"caption_id": f"{item}#{name}", "item_id": item, "lang": lang, "role": role, "text": text}
        return row | {"source_id": source and f"{item}#{source}", "engine": source and "toy"}

    found = [one(f"en{slot}", "en", "human", words, None)]
    for lang in targets:
        found.append(one(f"{lang}{slot}", lang, "human", words[::-1], None))
        found.append(one(f"{lang}-mt{slot}", lang, "mt", words, f"en{slot}"))
        found.append(one(f"{lang}-back{slot}", "en", "back", words[:-1], f"{lang}-mt{slot}"))
    return found


def _shuffle(captions: list[dict[str, Any]], share: float, draws: np.random.Generator) -> None:
    rows = [row for row in captions if row["role"] == "mt" and row["item_id"].startswith("train")]
    chosen = [rows[at] for at in draws.permutation(len(rows))[: round(share * len(rows))]]
    texts = [row["text"] for row in chosen]
    for row, text in zip(chosen, texts[1:] + texts[:1], strict=True):
        row["text"] = text


def write_captions(folder: Path, captions: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")


def edit_captions(folder: Path, change: Any) -> None:
    """Rewrite the captions through `change`, a function of a list of dicts to another."""
    write_captions(folder, change(pq.read_table(folder / "captions.parquet").to_pylist()))
    without_checksums(folder)


def tiny(recipe: str, targets: tuple[str, ...] = ("pt",), **settings: str) -> TrainConfig:
    """The recipe with a model of width 16; dots in the names of settings are written `__`."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return load_recipe(recipe)("en", targets, "toy").with_settings(TINY | named)
