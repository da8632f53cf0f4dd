"""A small corpus and a model that finds images as well as its texts say, for tests of reports."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from checksums import without_checksums
from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS

WIDTH = 12
COLOURS = ["teal", "gold", "navy", "coral", "olive", "plum", "gray", "pink"]
NOISE = {"pt": 1.2, "en": 0.3, "mt": 0.7, "ar": 1.0}


class FakeModel:
    """Reads "<noise> <item> ..." and gives the item's vector with so much noise, the same for equal texts."""

    def __init__(self, seed: int = 1, noise: float = 1.0, features: str = "toy") -> None:
        self.config = {"source": "en", "targets": ["pt"], "features": features, "seed": seed, "recipe": "toy"}
        self.noise = noise
        self.encoded: list[str] = []

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        self.encoded += texts
        rows = []
        for text in texts:
            level, item = text.split()[:2]
            own = np.random.default_rng(zlib.crc32(text.encode()) + int(self.config["seed"]))
            rows.append(vector(item) + self.noise * float(level) * unit(own.standard_normal(WIDTH)))
        return np.array([unit(row) for row in rows], np.float32)

    def encode_features(self, vectors: np.ndarray) -> np.ndarray:
        return np.array([unit(row) for row in vectors.astype(np.float64)], np.float32)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def vector(item: str) -> np.ndarray:
    return unit(np.random.default_rng(zlib.crc32(item.encode())).standard_normal(WIDTH))


def caption_rows(item: str, split: str) -> list[dict]:
    rows = []
    for lang, slots in [("en", 2), ("pt", 2), ("ar", 1)]:
        for slot in range(slots):
            name = f"{item}#{lang}#{slot}"
            text = f"{NOISE[lang]} {item} <b>{lang}</b> & {slot}"
            rows.append({"caption_id": name, "item_id": item, "lang": lang, "role": "human", "text": text})
            if lang == "pt":
                translated = f"{NOISE['mt']} {item} translated {slot}"
                rows.append(
                    {
                        "caption_id": f"{name}#mt",
                        "item_id": item,
                        "lang": "en",
                        "role": "mt",
                        "text": translated,
                        "source_id": name,
                        "engine": "toy:pt-en",
                    }
                )
    for slot in range(2):
        machine = {
            "caption_id": f"{item}#pt-mt#{slot}",
            "item_id": item,
            "lang": "pt",
            "role": "mt",
            "text": f"1.0 {item} machine {slot}",
            "source_id": f"{item}#en#{slot}",
            "engine": "toy:en-pt",
        }
        back = {
            "caption_id": f"{item}#back#{slot}",
            "item_id": item,
            "lang": "en",
            "role": "back",
            "text": f"0.8 {item} back {slot}",
            "source_id": machine["caption_id"],
            "engine": "toy:pt-en",
        }
        rows += [machine, back] if split == "val" else []
    return rows


def write_world(folder: Path, test: int = 24, val: int = 16) -> Path:
    """A corpus of en, pt (translated) and ar (not translated); the last test item has no pt caption."""
    names = {"test": [f"t{i:02d}" for i in range(test)], "val": [f"v{i:02d}" for i in range(val)]}
    folder.mkdir(parents=True)
    items, captions = [], []
    for split, members in names.items():
        for place, item in enumerate(members):
            path = f"{item}.png" if split == "test" and place != 1 else None
            if path:
                Image.new("RGB", (48, 32), COLOURS[place % len(COLOURS)]).save(folder / path)
            items.append({"item_id": item, "kind": "image", "path": path, "split": split})
            captions += caption_rows(item, split)
    last = names["test"][-1]
    captions = [row for row in captions if not row["caption_id"].startswith(f"{last}#pt")]
    write_captions(folder, captions)
    pq.write_table(pa.Table.from_pylist(items, schema=ITEMS), folder / "items.parquet")
    ids = [item["item_id"] for item in items][::-1]
    write_features(folder / "features" / "toy", ids, np.array([3 * vector(one) for one in ids]), inputs={})
    CORPUS.write(folder, inputs={})
    return folder


def write_captions(folder: Path, captions: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")


def edit_captions(folder: Path, change) -> None:
    """Rewrite the captions through `change`, a function of a list of dicts to another."""
    write_captions(folder, change(pq.read_table(folder / "captions.parquet").to_pylist()))
    without_checksums(folder)
