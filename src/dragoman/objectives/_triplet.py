"""Hardest-negative triplet loss over pairs (VSE++: Faghri et al., 2018; NRCCR, section 3.1).

N pairs; row i of both sides is one pair.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum"]


def hardest_triplet(
    similarity_NN: Tensor, same_NN: Tensor, margin: float, reduction: Reduction = "mean"
) -> Tensor:
    """Hinge on the hardest negative of each row and each column, both directions added.

    `similarity_NN[i, j]` compares item i with text j; `same_NN` is true where j is no negative of i. A row
    without a negative gives zero.
    """
    own_N = similarity_NN.diagonal()
    gap = margin + similarity_NN.masked_fill(same_NN, -torch.inf)
    rows_N = (gap - own_N[:, None]).amax(1).clamp(min=0)
    columns_N = (gap - own_N[None, :]).amax(0).clamp(min=0)
    both_N = rows_N + columns_N
    return both_N.mean() if reduction == "mean" else both_N.sum()


def soft_triplet(
    similarity_NN: Tensor, same_NN: Tensor, margin: float, temperature: float, reduction: Reduction = "mean"
) -> Tensor:
    """Triplet alignment loss (RDE: Qin et al., CVPR 2024): log-sum-exp over all negatives, not the hardest.

    An upper bound of `hardest_triplet` that does not collapse under noise.
    """
    own_N = similarity_NN.diagonal()
    scaled = (similarity_NN / temperature).masked_fill(same_NN, -torch.inf)
    rows_N = (margin - own_N + temperature * scaled.logsumexp(1)).clamp(min=0)
    columns_N = (margin - own_N + temperature * scaled.logsumexp(0)).clamp(min=0)
    both_N = rows_N + columns_N
    return both_N.mean() if reduction == "mean" else both_N.sum()


def same_item(item_N: Tensor, negatives: Literal["by_visual_id", "diagonal"]) -> Tensor:
    """[N, N] pairs that are no negatives: those of one item, or, as the released code has it, only i = j."""
    if negatives == "by_visual_id":
        return item_N[:, None] == item_N[None, :]
    return torch.eye(len(item_N), dtype=torch.bool, device=item_N.device)
