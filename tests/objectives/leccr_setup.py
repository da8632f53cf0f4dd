"""Set-up of the objective `leccr`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import Any

COLD: dict[str, Any] = {"temperature": 0.5, "softness": 0.5}
RELEASED: dict[str, Any] = {
    **COLD,
    "orientation": "released",
    "diversity": "signed",
    "agreement": "released",
}
VARIANTS: list[dict[str, Any]] = [
    {"orientation": "released", "softness": 1.0, "diversity": "signed", "agreement": "released"},
    {"softening": 0.0},
]


def pair(score: float) -> tuple[float, float]:
    """Softmax of two logits, of which the first is larger by `score`."""
    return 1 / (1 + exp(-score)), 1 / (1 + exp(score))


def apart(label: float, learned: float) -> float:
    """KL of two such softmaxes."""
    return sum(p * log(p / q) for p, q in zip(pair(label), pair(learned), strict=True))


# Rows of images, then columns of texts: twice the table of `hand_step`.
SLOTS_SOURCE = (log(2) + log1p(exp(1.92 - 2)) + log1p(exp(1.92 - 1.6)) + log1p(exp(1.6 - 2))) / 4
SLOTS_TARGET = (log(2) + log1p(exp(1.2 - 1.6)) + log1p(exp(1.2 - 2)) + log1p(exp(2 - 1.6))) / 4
# Between 0 and 1 the images' part of the scores is ((1, 0), (0, 1)), that of the slots ((0, 0.8), (0, 1)).
SOFT = (apart((0.8 - 0.16) / 0.5, 2) + apart((0 - 1.0) / 0.5, -2)) / 2
# With rows of images in the slots' part: ((0, 0), (0.8, 1)).
SOFT_RELEASED = (apart((0.8 - 0) / 0.5, 2) + apart((0.16 - 1.0) / 0.5, -2)) / 2
SHARED = {
    "source": log1p(exp(-0.4)),
    "target": log1p(exp(-2.0)),
    "bridge": log1p(exp(-0.4)),
    "slots_source": SLOTS_SOURCE,
    "slots_target": SLOTS_TARGET,
}

BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        COLD,
        {
            **SHARED,
            "soft": SOFT,
            "diversity": (0.6**2 + 0**2) / 2,
            # Mean unit slots (0.5, 0.5) and (0, 1), vision (1, 0) and (0, 1), products over 0.5.
            "agreement": (log(2) + log1p(exp(-2))) / 2,
        },
    ),
    (
        RELEASED,
        {
            **SHARED,
            "soft": SOFT_RELEASED,
            # Two of four cosines of image 0 are 0.6, the others of both images 0.
            "diversity": (2 * 0.6 / 4 + 0) / 2,
            # Along the slots, the second component of image 1 is (1, 5) / sqrt(26), of mean 3 / sqrt(26).
            "agreement": (log(2) + log1p(exp(-3 / sqrt(26)))) / 2,
        },
    ),
]
