"""Comparison of an exported model with the trained one: the samples, how well they agree, and must.

T texts, N images or vision vectors, D width of the vision vectors, J joint width.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragoman.corpus.corpus import Corpus
from dragoman.errors import CheckFailedError
from dragoman.media.images import ImageError, open_image
from dragoman.models.sentences import GOLDEN_TEXTS

log = logging.getLogger(__name__)

Precision = Literal["fp32", "int8"]
LARGEST = 1e-4
"""Largest difference of a component of unit vectors in fp32."""
LARGEST_SEEN = 1e-3
"""The same for images: their vision vectors are rounded to float16, and a tiny difference may round apart."""
COSINE = 0.98
"""Smallest mean cosine in int8."""
TOP = 10
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


@dataclass(frozen=True, kw_only=True)
class SampleVectors:
    """The unit vectors of `SampleInputs` by one of the models."""

    texts: Mapping[str, NDArray[np.float32]]
    features: NDArray[np.float32]
    images: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement on one kind of input, encoded by the trained and by the exported model."""

    what: str
    precision: Precision
    count: int
    largest_difference: float
    """Largest difference of one component of two unit vectors."""
    cosine_min: float
    cosine_mean: float
    top10: float | None
    """Share of the ten best vision vectors of the sample that both find; None for those themselves."""


def agreements(expected: SampleVectors, found: SampleVectors, precision: Precision) -> list[Agreement]:
    """One row for the texts of each language, one for vision vectors, one for images where there are any."""
    galleries = expected.features, found.features
    rows = [
        _agreement(f"texts, {lang}", precision, expected.texts[lang], found.texts[lang], galleries)
        for lang in expected.texts
    ]
    rows.append(_agreement("vision vectors", precision, expected.features, found.features, None))
    if len(expected.images):
        rows.append(_agreement("images", precision, expected.images, found.images, galleries))
    return rows


def require(rows: Sequence[Agreement]) -> None:
    """Raise CheckFailedError for the first row beyond tolerance."""
    for row in rows:
        # Conditions are written so that NaN fails them.
        allowed = LARGEST_SEEN if row.what == "images" else LARGEST
        if row.precision == "fp32" and not row.largest_difference <= allowed:
            raise CheckFailedError(
                f"The export differs from the model by up to {row.largest_difference:.2g} ({row.what}), "
                f"allowed {allowed:g}; nothing was written. Please report it, with the names of the text "
                "encoder and the vision tower."
            )
        if row.precision == "int8" and not row.cosine_mean >= COSINE:
            raise CheckFailedError(
                f"In int8 the vectors have a mean cosine of {row.cosine_mean:.4f} to those of the model "
                f"({row.what}), expected at least {COSINE}; nothing was written. Export without --int8."
            )


def _agreement(
    what: str,
    precision: Precision,
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    galleries: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> Agreement:
    # In float64: in float32 the cosine of a vector with itself is often above 1.
    cosines = np.einsum("nj,nj->n", expected.astype(np.float64), found.astype(np.float64))
    return Agreement(
        what=what,
        precision=precision,
        count=len(expected),
        largest_difference=float(np.abs(expected - found).max()),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        top10=None if galleries is None else _same_top(expected @ galleries[0].T, found @ galleries[1].T),
    )


def _same_top(expected_TN: NDArray[np.float32], found_TN: NDArray[np.float32]) -> float:
    """Mean share of the ten best columns that two score matrices have in common."""
    # Stable, so that ties fall alike in both.
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :TOP] for scores in (expected_TN, found_TN)]
    shared = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(*best, strict=True)]
    return float(np.mean(shared))


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
