"""Set-up of the objective `triplet`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from typing import Any

VARIANTS: list[dict[str, Any]] = [{"soft": True}, {"negatives": "diagonal", "reduction": "sum"}]

# Margin 1.2: 1.2 − 0.8 + 0.6 = 1 in the source, 1.2 − 1 + 0 = 0.2 in the target, for rows and columns alike.
# With a single negative its log-sum-exp is itself.
MEANS = {"source": 2.0, "target": 0.4}
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"margin": 1.2}, MEANS),
    ({"margin": 1.2, "soft": True, "temperature": 0.1}, MEANS),
    ({"margin": 1.2, "reduction": "sum"}, {"source": 4.0, "target": 0.8}),
]
