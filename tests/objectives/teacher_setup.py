"""Set-up of the objective `teacher`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log1p
from typing import Any

CONTRAST: dict[str, Any] = {"contrast_from": 0.0, "temperature": 0.5}
VARIANTS: list[dict[str, Any]] = [{"distance": "mse", "structure_weight": 1.0}, CONTRAST]

# Cosines of the captions with their anchors: twice 0.96 of source captions, twice 0.6 of translations.
TAUGHT = (0.04 + 0.04 + 0.4 + 0.4) / 4
# Six pairs of captions. Cosines less those of the anchors, which are 1 within a pair and else 0.96.
STRUCTURE = (0**2 + 0.2**2 + 0.36**2 + 0.36**2 + 0.2**2 + 0.96**2) / 6

BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({}, {"taught": TAUGHT}),
    # In the plane 2 (1 - cos) / J is 1 - cos.
    ({"distance": "mse", "structure_weight": 1.0}, {"taught": TAUGHT, "structure": STRUCTURE}),
    (
        CONTRAST,
        {
            "taught": TAUGHT,
            "source": log1p(exp(-0.4)),
            "target": log1p(exp(-2.0)),
            "bridge": log1p(exp(-0.4)),
        },
    ),
]
