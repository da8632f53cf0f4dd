"""Set-up of the objective `uclip`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import Any

VARIANTS: list[dict[str, Any]] = [{"temperature": 0.07}]

# Four captions against four anchors, two of each item. A source caption meets its anchor at 0.96 and the
# other at 1, a translation at 0.6 and 0.8; an anchor meets all of them.
ROWS = log(2) + (log1p(exp(0.08)) + log1p(exp(0.4))) / 2
COLUMNS = log(exp(1.92) + exp(1.2) + exp(2) + exp(1.6)) - (1.92 + 1.2) / 2
# What is found lies on the axes.
FOUND = log(2) + log1p(exp(-2))
# Source captions are (0.2, 0.6) away from what they find, translations are there; anchors (0.4, 0.8).
NEAR = (sqrt(0.04 + 0.36) / 2 + sqrt(0.16 + 0.64)) / 2
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"temperature": 0.5}, {"anchored": (ROWS + COLUMNS) / 2, "retrieved": FOUND, "near": NEAR}),
]
