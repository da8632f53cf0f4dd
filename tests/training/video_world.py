"""Made-up clips: one thing turns into another, and captions name what was there first and what last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from training_world import TO, WIDTH, write_captions

from dragoman.corpus.corpus import ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS

THINGS = 5
PAIRS = [(first, last) for first in range(THINGS) for last in range(THINGS) if first != last]
TIMES = {"train": 4, "val": 1, "test": 2}
"""How often each pair of things is seen in a split."""
VIDEO = {
    "video__hidden": "16",
    "video__heads": "2",
    "video__key_width": "8",
    "video__layers": "1",
    "video__feed_forward": "32",
}


def write_video_world(folder: Path) -> Path:
    """Clips of 3 to 9 frames in the feature set `toy`; backwards, each is what another caption says."""
    draws = np.random.default_rng(5)
    thing = draws.standard_normal((THINGS, WIDTH))
    items, captions, clips = [], [], []
    for split, times in TIMES.items():
        for number, (first, last) in enumerate(times * PAIRS):
            item = f"{split}{number:03d}"
            length = int(draws.integers(3, 10))
            share = np.linspace(0, 1, length)[:, None]
            clips.append((1 - share) * thing[first] + share * thing[last])
            clips[-1] += 0.1 * draws.standard_normal(clips[-1].shape)
            items.append({"item_id": item, "kind": "video", "path": None, "split": split})
            for role, lang in (("human", "en"), ("human", "pt"), ("mt", "pt"), ("back", "en")):
                source = {"mt": f"{item}#human-en", "back": f"{item}#mt-pt"}.get(role)
                captions.append(
                    {"caption_id": f"{item}#{role}-{lang}", "item_id": item, "lang": lang, "role": role}
                    | {"text": f"{TO[lang][first]} {TO[lang][THINGS + last]}", "source_id": source}
                    | {"engine": source and "toy"}
                )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(items, schema=ITEMS), folder / "items.parquet")
    write_captions(folder, captions)
    ids = [item["item_id"] for item in items]
    write_features(
        folder / "features" / "toy", [str(one) for one in ids], clips, layout="frames", inputs={"toy": "1"}
    )
    CORPUS.write(folder, inputs={})
    return folder
