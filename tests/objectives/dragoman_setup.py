"""Set-up of the objective `dragoman`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p
from typing import Any

VARIANTS: list[dict[str, Any]] = [
    {"bridge_weight": 1.0, "distil_weight": 1.0, "pull_weight": 1.0, "widths": ("2", "4")},
    {"contrast": "sigmoid"},
    {"contrast": "soft_triplet"},
    {"form": "per_language", "spread_weight": 1.0},
]

# As in `one_to_k`: an image has the logits 1.6 and 2 for its own captions, 1.2 and 0 for the others.
SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))
POOLED = (log(exp(1.6) + exp(2) + exp(1.2) + 1) - (1.6 + 2) / 2 + (SOURCE + TARGET) / 2) / 2
# A source caption gives the other image this share, for which its translation is 2 logits worse than for its
# own.
OTHER = 1 / (1 + exp(0.4))
# 10 s − 10 is −2 and 0 for the own captions of an image, −4 and −10 for the others; ln(1 + e^x) of each.
SIGMOID = log1p(exp(2)) + log1p(1) + log1p(exp(-4)) + log1p(exp(-10))
# Margin 1 at temperature 0.1. A row has the negatives 0.6 and 0, a column the same negative twice: its item
# has two rows. Own cosines are 0.8 and 1.
ROW, TWICE = 0.1 * log(exp(6) + 1), 0.1 * log(2)
TRIPLET = ((0.2 + ROW) + (0.2 + 0.6 + TWICE) + ROW + TWICE) / 2
# Captions of the two items meet at cosines of 0.96, 0.6, 0.6 and 0; the images stand across.
SQUARES, MOMENTS = (0.96**2 + 0.6**2 + 0.6**2) / 4, ((0.96 + 0.6 + 0.6) / 4) ** 2
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {
            "temperature": 0.5,
            "distil_temperature": 0.5,
            "bridge_weight": 1.0,
            "distil_weight": 1.0,
            "pull_weight": 1.0,
        },
        # The cosine of a translation and its source caption is 0.8.
        {"contrast": POOLED, "bridge": SOURCE, "distil": TARGET + 2 * OTHER, "pull": 0.2},
    ),
    ({"contrast": "sigmoid"}, {"contrast": SIGMOID}),
    ({"temperature": 0.5, "spread_weight": 1.0}, {"contrast": POOLED, "spread": SQUARES}),
    (
        {"temperature": 0.5, "spread_weight": 1.0, "spread": "moments"},
        # The mean of the squares is below 1 / 2.
        {"contrast": POOLED, "spread": MOMENTS},
    ),
    ({"contrast": "soft_triplet", "margin": 1.0, "triplet_temperature": 0.1}, {"contrast": TRIPLET}),
]
