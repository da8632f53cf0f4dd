"""Set-up of the objective `nrccr`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import e, exp, log, log1p
from typing import Any

import torch

from dragoman.objectives.contract import Objective

VARIANTS: list[dict[str, Any]] = [
    {"contrast": "soft_triplet"},
    {"contrast": "info_nce"},
    {"cycle_contrast": "info_nce"},
    {"cycle_contrast": "cos"},
    {"discriminator": "strong"},
    {"reduction": "sum", "negatives": "diagonal", "feat_loss": "smooth_l1", "feat_detach_teacher": False},
    {"sim_loss": "kl", "detach_visual_teacher": False},
]


def prepare(objective: Objective) -> None:
    """Let the logit of the discriminator be the first component of a pooled state."""
    if objective.opponent is None:
        return
    with torch.no_grad():
        for weight in objective.opponent.parameters():
            weight.zero_()
        objective.opponent.net.weight[:, 0] = 1  # type: ignore[index, union-attr]


# Source and target of the triplet with margin 1.2: 1.2 − 0.8 + 0.6 = 1 and 1.2 − 1 + 0 = 0.2, both ways.
SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))
# Source captions and ways back have the cosines 0.8, 1.0 (first row), 0.6, 0.96.
CYCLE = ((0.4 + 1) + (0.24 + 0.6) + (0.4 + 0.6) + (0.24 + 1)) / 2
CYCLE_SOFTMAX = (log1p(exp(0.4)) + log1p(exp(-0.72)) + log1p(exp(-0.4)) + log1p(exp(0.08))) / 4
# The teacher gives the other image this share, for which the translation is 2 logits worse than for its own.
OTHER = 1 / (1 + exp(0.4))
ENTROPY = -OTHER * log(OTHER) - (1 - OTHER) * log(1 - OTHER)
# Logits 2 and 1 of the discriminator: translations shall pass for source captions, and it is to tell them
# apart.
ADVERSARY, OPPONENT = log1p(exp(-1)), (log1p(exp(-2)) + log1p(e)) / 2
SHAPE = {"margin": 1.2, "temperature": 0.5, "discriminator": "weak"}
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        SHAPE,
        {
            "source": 2.0,
            "target": 0.4,
            "sim": TARGET + 2 * OTHER,
            "feat": 0.2,
            "cycle": CYCLE,
            "adversary": ADVERSARY,
            "opponent": OPPONENT,
        },
    ),
    (
        SHAPE | {"contrast": "info_nce", "cycle_contrast": "info_nce", "sim_loss": "kl", "adversary": "off"},
        {
            "source": SOURCE,
            "target": TARGET,
            "sim": TARGET + 2 * OTHER - ENTROPY,
            "feat": 0.2,
            "cycle": CYCLE_SOFTMAX,
        },
    ),
    (
        SHAPE
        | {"contrast": "soft_triplet", "reduction": "sum", "sim_loss": "off", "feat_loss": "smooth_l1"}
        | {"cycle_contrast": "cos", "adversary": "off"},
        # Two components are 0.2 and 0.6 apart: (0.04 + 0.36) / (2 · 4) in the mean of both.
        {"source": 4.0, "target": 0.8, "feat": 0.4 / 8 / 2, "cycle": (0.2 + 0.04) / 2},
    ),
]
