"""The model under evaluation: any object that encodes texts and frozen vision vectors.

N texts or images, D width of the joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.progress import bar
from dragoman.retrievers.base import Model
from dragoman.retrievers.loading import load_encoder

CHUNK = 4096


def load(run: str | Path | Model) -> Model:
    """Load the model of a run, an export or a public folder; any other object is taken as a model itself."""
    if not isinstance(run, str | Path):
        return run
    return load_encoder(run)


def encode_texts(model: Model, texts: Sequence[str], label: str) -> NDArray[np.float32]:
    """Encode texts as [N, D]; equal texts once, so that they tie exactly."""
    unique, place_N = np.unique(np.array(texts, dtype=object), return_inverse=True)
    parts = []
    with bar(len(unique), f"Encoding {label}", "texts") as progress:
        for start in range(0, len(unique), CHUNK):
            parts.append(model.encode_text(unique[start : start + CHUNK].tolist()))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)[place_N]


def feature_set(model: Model, corpus: Corpus, features: str | None) -> FeatureSet:
    """Open the named feature set, or the one that the model was trained on or whose tower it has."""
    name = features or model.config.get("features") or corpus.features_of(model.config.get("vision"))
    if name is None and model.config.get("vision"):
        path = model.config["vision"]["path"]
        raise UserError(
            f"{corpus.folder} lacks the image vectors of {path}. Make them: dragoman features "
            f"{corpus.folder} --encoder {path} --name {Path(path).name.lower()}"
        )
    if name is None:
        raise UserError("The model names no feature set. Say which one holds the images: --features NAME")
    return corpus.features(name)


def encode_images(
    model: Model, corpus: Corpus, items: Sequence[str], features: str | None
) -> NDArray[np.float32]:
    """Encode items as [N, D], from the named feature set or the one that the model was trained on."""
    stored = feature_set(model, corpus, features)
    row_N, size = stored.rows(items), max(1, CHUNK // stored.per_item)
    parts = []
    with bar(len(row_N), "Encoding images", "images") as progress:
        for start in range(0, len(row_N), size):
            parts.append(model.encode_features(np.asarray(stored.whole(row_N[start : start + size]))))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)
