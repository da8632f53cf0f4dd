"""Set-up of the objective `cl2cm`: further settings, and values on `hand_step` calculated by hand."""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import Any

import torch
from torch import nn

from dragoman.objectives.contract import Objective

VARIANTS: list[dict[str, Any]] = [{"network": "frozen"}, {"word_loss": "plan", "width": 8}]


def prepare(objective: Objective) -> None:
    """Let the own network see the first components of a token as they are."""
    for layer in objective.modules():
        if isinstance(layer, nn.Linear):
            with torch.no_grad():
                layer.weight.copy_(torch.eye(*layer.weight.shape))
                layer.bias.zero_()


def apart(taught: tuple[float, float], learned: tuple[float, float]) -> float:
    """KL of two softmaxes over two logits."""
    share = 1 / (1 + exp(taught[1] - taught[0]))
    other = 1 / (1 + exp(learned[1] - learned[0]))
    return share * log(share / other) + (1 - share) * log((1 - share) / (1 - other))


SOURCE, TARGET = log1p(exp(-0.4)), log1p(exp(-2))
# Sentences of the own network: source captions at (h, h) and (1, 0), translations at (h, h) and (0, 1).
h = 1 / sqrt(2)
SENTENCE = (log1p(exp(2 * h - 2)) + log1p(exp(2 * h))) / 2
# The translations lie on the axes of the images. Rows and columns of the own network are alike.
OWN = apart((2, 2 * h), (2, 0)) + apart((2 * h, 0), (0, 2))
# Two tokens of a text find one another crosswise, at logits of h and 0; of one token there is no choice.
WORD = (2 * log1p(exp(-h)) + 0) / 2
# Crosswise at no cost, or straight at 1; and the one token of the second pair at 1.
PLAN = (1 / (1 + exp(2)) + 1) / 2
# A frozen encoder: translations meet source captions at 0.8 and 0.96, and at 0 and 0.8.
ROWS = (apart((1.6, 1.92), (2, 0)) + apart((0, 1.6), (0, 2))) / 2
COLUMNS = (apart((1.6, 0), (2, 0)) + apart((1.92, 1.6), (0, 2))) / 2

SHAPE = {"temperature": 0.5, "distil_temperature": 0.5, "width": 2, "epsilon": 0.5, "tolerance": 1e-7}
CONTRAST = {"source": SOURCE, "target": TARGET}
BY_HAND: list[tuple[dict[str, Any], dict[str, float]]] = [
    (SHAPE, CONTRAST | {"sentence": SENTENCE, "word": WORD, "distil": OWN}),
    (SHAPE | {"word_loss": "plan"}, CONTRAST | {"sentence": SENTENCE, "word": PLAN, "distil": OWN}),
    (SHAPE | {"network": "frozen"}, CONTRAST | {"distil": ROWS + COLUMNS}),
    (
        SHAPE | {"network": "frozen", "teacher": "shuffled"},
        # The rows of the two translations are exchanged.
        CONTRAST
        | {
            "distil": (apart((0, 1.6), (2, 0)) + apart((1.6, 1.92), (0, 2))) / 2
            + (apart((0, 1.6), (2, 0)) + apart((1.6, 1.92), (0, 2))) / 2
        },
    ),
]
