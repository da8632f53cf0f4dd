"""Set-up of the objective `pivot`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log1p
from typing import Any

VARIANTS: list[dict[str, Any]] = [{"learn_temperature": False}]

# The own image leads by 0.2 / 0.5 for a source caption. The translations lie on the axes, as the images do,
# so a source caption meets them at the same cosines.
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"temperature": 0.5}, {"source": log1p(exp(-0.4)), "bridge": log1p(exp(-0.4))}),
]
