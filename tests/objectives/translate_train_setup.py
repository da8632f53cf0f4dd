"""Set-up of the objective `translate_train`: further settings, and values on `hand_step` calculated by
hand."""

from __future__ import annotations

from math import exp, log1p
from typing import Any

VARIANTS: list[dict[str, Any]] = [{"learn_temperature": False}]

# A softmax over two logits: the own one leads by (0.8 − 0.6) / 0.5 in the source, by 1 / 0.5 in the target.
# Rows and columns are alike, so that their mean is either.
SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"temperature": 0.5}, {"source": SOURCE, "target": TARGET}),
    ({"temperature": 0.5, "target_weight": 0.0}, {"source": SOURCE}),
]
