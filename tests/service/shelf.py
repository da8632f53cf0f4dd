"""A small collection of generated pictures, indexed for real; only the model is a stand-in.

The stand-in reads spelling: a text is a bag of letter groups, a picture the sum of its captions, and an
unknown picture is taken for the one on the shelf that looks most like it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import dragoman.search.live
from dragoman.indexing.folder import IndexInfo, open_generation, write_info
from dragoman.records import Entry
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption
from dragoman.scenes.plan import draw_plan
from dragoman.scenes.render import render
from dragoman.scenes.scene import Scene, distinct_scenes
from dragoman.search.searcher import Searcher

WIDTH = 256
TRAINED = ("en", "es", "pt", "zh")
CAPTIONED = ("en", "pt", "es", "ar", "zh")
MODEL = "/srv/secret-models/run"
"""Where the index says that its model is; no answer may show it."""


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """[N, WIDTH] unit vectors of the groups of two and three letters in texts."""
    rows = np.zeros((len(texts), WIDTH), np.float32)
    for row, text in zip(rows, texts, strict=True):
        spelt = f" {text.lower()} "
        for size in (2, 3):
            for at in range(len(spelt) - size + 1):
                row[zlib.crc32(spelt[at : at + size].encode()) % WIDTH] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Spelling:
    """The stand-in for a model."""

    config: Mapping[str, Any] = {
        "source": "en",
        "targets": ["es", "pt", "zh"],
        "features": "",
        "vision": None,
    }
    width = WIDTH
    fingerprint = "f" * 64

    def __init__(self, folder: Path) -> None:
        self.looks = {file: _look(file) for file in sorted((folder / "photos").glob("*.jpg"))}
        self.vectors = dict(zip(_item_ids(len(self.looks)), _vectors(len(self.looks)), strict=True))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return letters(texts)

    def encode_image(self, images: Sequence[str | Path | Image.Image]) -> NDArray[np.float32]:
        rows = []
        for image in images:
            seen = _look(image)
            nearest = min(self.looks, key=lambda file: float(np.abs(self.looks[file] - seen).mean()))
            rows.append(self.vectors[nearest.name])
        return np.stack(rows)


def make_shelf(folder: Path, items: int = 36) -> Path:
    """Write photos and their index; returns the index folder."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    entries = []
    for number, scene in enumerate(_scenes(items)):
        name = f"{number:03d}.jpg"
        render(scene, Draws(1, "picture", number)).save(photos / name, quality=88)
        entries.append(
            Entry(
                item_id=name,
                path=name,
                metadata={
                    "thing": scene.first.kind,
                    "colour": scene.first.colour,
                    "ground": scene.ground,
                    "year": 1990 + number,
                    "loan": number % 5 == 0,
                },
                captions=_captions(number, scene),
                source=f"digest-{number}",
            )
        )
    index = folder / "shelf"
    info = IndexInfo(
        folder=index,
        generation="g0_test",
        model=MODEL,
        fingerprint=Spelling.fingerprint,
        image_fingerprint="i" * 64,
        vision=None,
        width=WIDTH,
        backend="exact",
        settings={},
        described={},
        count=items,
        media=str(photos.absolute()),
        languages=TRAINED,
        calibration=None,
        created="2026-01-01T00:00:00Z",
        updated="2026-01-01T00:00:00Z",
    )
    with open_generation(info) as backend:
        backend.add(entries, _vectors(items))
    write_info(info)
    return index


@contextmanager
def open_shelf(index: Path) -> Iterator[Searcher]:
    """The real searcher, reading with the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        use_spelling(patch)
        searcher = Searcher.open(index)
        yield searcher
        searcher.close()


def use_spelling(patch: pytest.MonkeyPatch) -> None:
    """Let every index be read with the stand-in for its model."""
    patch.setattr(
        dragoman.search.live, "_load_model", lambda info, given, device: Spelling(info.folder.parent)
    )


def _scenes(items: int) -> list[Scene]:
    return distinct_scenes(items, 1)


def _captions(number: int, scene: Scene) -> dict[str, str]:
    found = {}
    for lang in CAPTIONED:
        draws = Draws(1, "caption", number, lang, 0)
        found[lang] = caption(lang, draw_plan(scene, draws), draws)
    return found


def _item_ids(items: int) -> list[str]:
    return [f"{number:03d}.jpg" for number in range(items)]


def _vectors(items: int) -> NDArray[np.float32]:
    rows = []
    for number, scene in enumerate(_scenes(items)):
        total = letters(list(_captions(number, scene).values())).sum(axis=0)
        rows.append(total / np.linalg.norm(total))
    return np.stack(rows).astype(np.float32)


def _look(image: str | Path | Image.Image) -> NDArray[np.float32]:
    opened = image if isinstance(image, Image.Image) else Image.open(image)
    return np.asarray(opened.convert("RGB").resize((16, 16)), np.float32)
