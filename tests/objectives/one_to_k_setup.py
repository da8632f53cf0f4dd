"""Set-up of the objective `one_to_k`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import e, exp, log, log1p
from typing import Any

VARIANTS: list[dict[str, Any]] = [
    {"mitm_weight": 1.0, "cmlm_weight": 0.5},
    {"cmlm_weight": 1.0, "form": "per_language"},
    {"form": "per_language"},
    {"form": "pooled_logsum", "text_weight": "inverse_k"},
    {"rows": "caption"},
]

# Logits of an image at T = 0.5: 1.6 and 2 for its own captions, 1.2 and 0 for the others.
ALL = log(exp(1.6) + exp(2) + exp(1.2) + 1)
SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))
TEXT_TO_IMAGE = (SOURCE + TARGET) / 2
# Three pairs, one of which matches; one word among three.
MITM = (log(2) + log1p(exp(-2)) + log1p(e)) / 3
CMLM = log(exp(-2) + exp(-1) + 1)
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {"temperature": 0.5, "mitm_weight": 1.0, "cmlm_weight": 1.0},
        {
            "image_to_text": ALL - (1.6 + 2) / 2,
            "text_to_image": TEXT_TO_IMAGE,
            "floor": log(2),
            "mitm": MITM,
            "cmlm": CMLM,
        },
    ),
    (
        {"temperature": 0.5, "form": "pooled_logsum", "text_weight": "inverse_k"},
        {
            "image_to_text": ALL - log(exp(1.6) + exp(2)),
            "text_to_image": TEXT_TO_IMAGE / 2,
            "floor": 0.0,
        },
    ),
    (
        {"temperature": 0.5, "form": "per_language"},
        {"image_to_text": TEXT_TO_IMAGE, "text_to_image": TEXT_TO_IMAGE, "floor": 0.0},
    ),
]
