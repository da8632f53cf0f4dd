"""A model that costs nothing: pictures are their mean colour, texts the colours that they name.

Width 3: red, green, blue. It stands in for a run, in this process or, through `main`, in another one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragoman.index import job
from dragoman.media.images import open_image
from dragoman.retrievers.base import Encoder
from dragoman.search import live

COLOURS = {"red": 0, "vermelho": 0, "green": 1, "verde": 1, "blue": 2, "azul": 2, "红": 0}
RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


class ToyModel(Encoder):
    """Counts what it encodes."""

    width = 3
    fingerprint = ""

    def __init__(self, folder: Path) -> None:
        stored = json.loads((folder / "config.json").read_text())
        self.config: dict[str, Any] = stored["trained"]
        self.fingerprint = stored["fingerprint"]
        self.seen: list[int] = []

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        found = np.full((len(texts), 3), 0.01, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                if word in COLOURS:
                    found[row, COLOURS[word]] += 1
        return unit(found)

    def encode_image(self, images: Sequence[Any]) -> np.ndarray:
        self.seen.append(len(images))
        return unit(np.stack([np.asarray(open_image(one), np.float32).mean((0, 1)) + 1 for one in images]))

    def encode_features(self, vectors: np.ndarray) -> np.ndarray:
        self.seen.append(len(vectors))
        return unit(np.asarray(vectors, np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def save_model(folder: Path, fingerprint: str = "1" * 64, images: str = "2" * 64, **trained: Any) -> Path:
    """A folder that says of itself which model it is."""
    details = {"source": "en", "targets": ["pt"], "features": "toy", "vision": None} | trained
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "toy", "joint": 3, "trained": details, "fingerprint": fingerprint}
    (folder / "config.json").write_text(json.dumps(config | {"image_fingerprint": images}))
    return folder


def load_toy(folder: str | Path, device: str = "cpu", vision: str | Path | None = None) -> ToyModel:
    loaded.append(ToyModel(Path(folder)))
    return loaded[-1]


loaded: list[ToyModel] = []
"""All that were loaded in this process."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the job and the search of a test load toy models."""
    monkeypatch.setattr(job, "load_encoder", load_toy)
    monkeypatch.setattr(live, "load_encoder", load_toy)
    loaded.clear()


def read_frames(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Make the toy a model of videos, which takes the mean of their frames; the shapes that it will see."""
    shapes: list[tuple[int, ...]] = []

    def encode(self: object, vectors: np.ndarray) -> np.ndarray:
        shapes.append(vectors.shape)
        return unit(np.nanmean(vectors.astype(np.float32), axis=1))

    monkeypatch.setattr(ToyModel, "encode_features", encode)
    monkeypatch.setattr(ToyModel, "reads_frames", True, raising=False)
    return shapes


def install(patch: pytest.MonkeyPatch | None = None) -> None:
    """Let the job and the search load toy models: until `patch` is undone, or for good."""
    for module in (job, live):
        (patch or pytest.MonkeyPatch()).setattr(module, "load_encoder", load_toy)


def save_picture(file: Path, colour: str | tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> Path:
    """A picture of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, RGB[colour] if isinstance(colour, str) else colour).save(file)
    return file


if __name__ == "__main__":
    from dragoman.cli import main

    install()
    sys.argv[0] = "dragoman"
    main()
