"""Triplet losses over pairs (VSE++: Faghri et al., 2018; NRCCR, section 3.1).

N pairs; row i of both sides is one pair.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum"]


def hardest_triplet(
    similarity_NN: Tensor,
    same_NN: Tensor,
    margin: float | Tensor,
    reduction: Reduction = "mean",
    weight_N: Tensor | None = None,
) -> Tensor:
    """Return the hinge on the hardest negative of each row and each column, both directions added.

    `similarity_NN[i, j]` compares item i with text j; `same_NN` is true where j is not a negative of i. A row
    without a negative gives zero. `margin` is one for all or [N], `weight_N` (default 1) weighs the pairs.
    """
    own_N = similarity_NN.diagonal()
    # −inf in a whole row makes its hinge zero.
    hardest = similarity_NN.masked_fill(same_NN, -torch.inf)
    rows_N = (margin - own_N + hardest.amax(1)).clamp(min=0)
    columns_N = (margin - own_N + hardest.amax(0)).clamp(min=0)
    return _reduced(rows_N + columns_N, reduction, weight_N)


def soft_triplet(
    similarity_NN: Tensor,
    same_NN: Tensor,
    margin: float | Tensor,
    temperature: float,
    reduction: Reduction = "mean",
    weight_N: Tensor | None = None,
) -> Tensor:
    """Return the triplet alignment loss (RDE: Qin et al., CVPR 2024): log-sum-exp over all negatives.

    Its arguments are those of `hardest_triplet`, and it is an upper bound of it that does not collapse under
    noise.
    """
    own_N = similarity_NN.diagonal()
    scaled = (similarity_NN / temperature).masked_fill(same_NN, -torch.inf)
    rows_N = (margin - own_N + temperature * scaled.logsumexp(1)).clamp(min=0)
    columns_N = (margin - own_N + temperature * scaled.logsumexp(0)).clamp(min=0)
    return _reduced(rows_N + columns_N, reduction, weight_N)


def confident_margin(margin: float, confidence_N: Tensor | None) -> float | Tensor:
    """Return a margin that shrinks with confidence c in 0..1: margin · (10^c − 1) / 9 (NCR: Huang et al.,
    NeurIPS 2021, section 3.3)."""
    return margin if confidence_N is None else margin * (10**confidence_N - 1) / 9


def _reduced(both_N: Tensor, reduction: Reduction, weight_N: Tensor | None) -> Tensor:
    weights = torch.ones_like(both_N) if weight_N is None else weight_N
    total = (weights * both_N).sum()
    return total / weights.sum() if reduction == "mean" else total


def same_item(item_N: Tensor, negatives: Literal["by_visual_id", "diagonal"]) -> Tensor:
    """Return [N, N], true where a pair is not a negative: of one item, or as released only for i = j."""
    if negatives == "by_visual_id":
        return item_N[:, None] == item_N[None, :]
    return torch.eye(len(item_N), dtype=torch.bool, device=item_N.device)
