"""Inputs on which an exported model is compared with the trained one: of a corpus, or made up.

N images or vision vectors, D width of the vision vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragoman.corpus.corpus import Corpus
from dragoman.media.images import ImageError, open_image
from dragoman.models.sentences import GOLDEN_TEXTS

log = logging.getLogger(__name__)

TEXTS = 100
"""Captions of each language."""
FEATURES = 1000
IMAGES = 16
SIZES = ((64, 64), (37, 53), (200, 31), (225, 223), (640, 427), (13, 96))
"""Width and height of made-up pictures: odd ones, where preprocessings differ."""


@dataclass(frozen=True, kw_only=True)
class SampleInputs:
    """Inputs that both models encode."""

    texts: Mapping[str, Sequence[str]]
    """By language, or under another name for the group."""
    features: NDArray[np.floating]
    """[N, D] vision vectors; the gallery in which texts find images."""
    images: Sequence[Image.Image]


def samples(
    corpus: str | Path | None, config: Mapping[str, Any], made_up: NDArray[np.floating]
) -> SampleInputs:
    """Golden texts, and of a corpus TEXTS captions of every language, FEATURES vectors and IMAGES pictures.

    `config` is what the model was trained with; `made_up` [N, D] stands in where the corpus does not have
    the feature set, and made-up pictures where it has no images.
    """
    texts: dict[str, list[str]] = {"golden": list(GOLDEN_TEXTS)}
    if corpus is None:
        return SampleInputs(texts=texts, features=made_up, images=pictures())
    opened = Corpus.open(corpus)
    known = config["features"] in opened.feature_names
    return SampleInputs(
        texts=texts | _captions(opened),
        features=_features(opened, config["features"], made_up) if known else made_up,
        images=_images(opened) or pictures(),
    )


def pictures() -> list[Image.Image]:
    """RGB pictures of odd sizes: a smooth ground with noise on it."""
    return [_picture(seed, width, height) for seed, (width, height) in enumerate(SIZES)]


def _picture(seed: int, width: int, height: int) -> Image.Image:
    drawn = np.random.default_rng(seed)
    row, column = np.indices((height, width))
    ground = 128 + 90 * np.sin(row / 9 + drawn.uniform(0, 6))[..., None] * np.cos(column / 7)[..., None]
    pixels = ground * drawn.uniform(0.4, 1, 3) + drawn.normal(0, 12, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _spread(count: int, most: int) -> list[int]:
    """At most `most` row numbers, evenly over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def _captions(corpus: Corpus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for lang, text in zip(*(corpus.captions[name].to_pylist() for name in ("lang", "text")), strict=True):
        found.setdefault(lang, []).append(text)
    return {lang: [texts[row] for row in _spread(len(texts), TEXTS)] for lang, texts in sorted(found.items())}


def _features(corpus: Corpus, name: str, made_up: NDArray[np.floating]) -> NDArray[np.floating]:
    stored = corpus.features(name)
    if stored.width != made_up.shape[1]:
        return made_up
    return stored.whole(np.array(_spread(len(stored.ids), FEATURES), np.int64))


def _images(corpus: Corpus) -> list[Image.Image]:
    kinds, paths = (corpus.items[name].to_pylist() for name in ("kind", "path"))
    known = [path for kind, path in zip(kinds, paths, strict=True) if kind == "image" and path]
    found: list[Image.Image] = []
    for row in _spread(len(known), IMAGES):
        try:
            found.append(open_image(corpus.media_path(known[row])))
        except ImageError as error:
            log.info("left out of the comparison: %s", error)
    return found
