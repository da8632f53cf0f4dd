"""Set-up of the objective `mclip`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p
from typing import Any

VARIANTS: list[dict[str, Any]] = [{"edge_scale": "released", "learn_temperature": False}]

SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))


def edge(scale: float) -> float:
    """Source captions meet their anchor at 0.96, the other at 1; translations have the images on the axes."""
    return log1p(exp(0.04 * scale)) + log1p(exp(-scale))


BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"temperature": 0.5}, {"source": SOURCE, "target": TARGET, "edge": edge(1 / 0.07)}),
    (
        {"temperature": 0.5, "edge_scale": "released"},
        {"source": SOURCE, "target": TARGET, "edge": edge(log(1 / 0.07))},
    ),
]
