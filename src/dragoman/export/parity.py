"""Comparison of an exported model with the trained one: how well they agree, and must.

T texts, N images or vision vectors, D width of the vision vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import CheckFailedError

Precision = Literal["fp32", "int8"]
LARGEST = 1e-4
"""Largest difference of a component of unit vectors in fp32."""
LARGEST_SEEN = 1e-3
"""The same for images: their vision vectors are rounded to float16, and a tiny difference may round apart."""
COSINE = 0.98
"""Smallest mean cosine in int8."""
TOP = 10


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
