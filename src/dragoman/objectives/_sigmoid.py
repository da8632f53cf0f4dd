"""Pairwise sigmoid contrast (SigLIP: Zhai et al., ICCV 2023): every image and text is a yes-or-no question.

There is no normaliser over the batch, so several positives and weights of single texts need no care.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SigmoidScale(nn.Module):
    """Similarities to logits: a · s + b with learned a = 10 and b = −10 at the start."""

    def __init__(self, scale: float = 10.0, bias: float = -10.0) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, similarity: Tensor) -> Tensor:
        logits: Tensor = self.log.exp() * similarity + self.bias
        return logits


def sigmoid_contrast(logits_BT: Tensor, target_BT: Tensor, weight_T: Tensor | None = None) -> Tensor:
    """Sum over all pairs of the binary cross-entropy against `target_BT` in 0..1, over the number of items.

    `weight_T` (default 1) weighs the texts, relative to their mean.
    """
    pairs_BT = F.binary_cross_entropy_with_logits(logits_BT, target_BT, reduction="none")
    if weight_T is not None:
        pairs_BT = pairs_BT * (weight_T / weight_T.mean())
    return pairs_BT.sum() / len(logits_BT)
