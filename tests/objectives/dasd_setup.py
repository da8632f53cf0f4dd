"""Set-up of the objective `dasd`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p, tanh
from typing import Any

import torch

from dragoman.objectives.contract import Objective

STILL = True
SECOND: dict[str, Any] = {"contrast_from": 0.0, "temperature": 0.5}
VARIANTS = [SECOND]


def prepare(objective: Objective) -> None:
    """Let the first logit be the sum of the first components of feature and vector, through two tanh."""
    assert objective.opponent is not None
    with torch.no_grad():
        for weight in objective.opponent.parameters():
            weight.zero_()
        first, second, last = (objective.opponent.net[place] for place in (0, 2, 4))  # type: ignore[index, union-attr]
        first.weight[0, [0, 5]] = 1
        second.weight[0, 0] = last.weight[0, 0] = 1


def judged(features: list[float], vectors: list[float], kind: int) -> float:
    """Mean over pairs and both logits, of which the second one is 0."""
    sign = -1 if kind == 0 else 1
    logits = [tanh(tanh(a + b)) for a, b in zip(features, vectors, strict=True)]
    return sum((log1p(exp(sign * logit)) + log(2)) / 2 for logit in logits) / len(logits)


def adversary(vectors: list[float]) -> dict[str, float]:
    """Both terms of the discriminator, by the first components of the vectors of two pairs."""
    features = [0.5, 0.1]
    flipped = judged(features, vectors[::-1], 1)
    return {
        "adversary": judged(features, vectors[::-1], 0),
        "opponent": (judged(features, vectors, 0) + flipped) / 2,
    }


BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {},
        {
            # (0.4² + 1.2²) / 2 and (0.6² + 0.2²) / 2.
            "source": (0.8 + 0.2) / 2,
            # (0 + 0.2) / 2 and (0.1 + 0.3) / 2.
            "semantic": (0.1 + 0.2) / 2,
            **adversary([1.6, 0.6]),
        },
    ),
    (
        SECOND,
        {
            "source": (0.8 + 0.2) / 2,
            "contrast": log1p(exp(-2)),
            # From (2, 0) and (0, 2): squares of 0.4 and 0.5, and 1 and 1.5 less a half.
            "semantic": ((0.4**2 / 2 + 0.5) / 2 + (0.5**2 / 2 + 1) / 2) / 2,
            **adversary([2.0, 0.0]),
        },
    ),
]
