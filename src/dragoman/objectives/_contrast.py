"""The masked multi-positive contrastive loss under every softmax objective.

B items, T texts. Toy values and properties: 1-to-K contrastive learning, arXiv 2406.18254.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ContrastTerms:
    """Both directions, batch means."""

    image_to_text: Tensor
    text_to_image: Tensor
    floor: Tensor
    """The least possible value of `image_to_text`, without gradient."""

    def symmetric(self, text_weight: float = 1.0) -> Tensor:
        """Half the sum; `text_weight` is the factor of text to image."""
        return (self.image_to_text + text_weight * self.text_to_image) / 2


def own_texts(item_T: Tensor, items: int) -> Tensor:
    """[B, T] true where the text belongs to the item."""
    return torch.arange(items, device=item_T.device)[:, None] == item_T[None, :]


def uniform_targets(positive_BT: Tensor) -> Tensor:
    """[B, T] equal weight on the positives of a row; rows without a positive stay zero."""
    counts_B1 = positive_BT.sum(1, keepdim=True)
    return positive_BT / counts_B1.clamp(min=1)


def weighted_targets(text_target_BT: Tensor, weight_T: Tensor) -> Tensor:
    """[B, T] the shares of an item's texts, by weight; `text_target_BT` says how far each text is its own.

    Rows sum to 1, or to 0 for an item without a text. With weights of 1 and own texts only, this is
    `uniform_targets`.
    """
    mass_BT = text_target_BT * weight_T
    return mass_BT / mass_BT.sum(1, keepdim=True).clamp(min=torch.finfo(mass_BT.dtype).tiny)


def multi_positive(
    logits_BT: Tensor,
    item_T: Tensor,
    target_BT: Tensor,
    candidate_BT: Tensor | None = None,
    text_weight_T: Tensor | None = None,
    *,
    text_target_BT: Tensor | None = None,
    item_weight_B: Tensor | None = None,
    pooling: Literal["mean", "logsum"] = "mean",
) -> ContrastTerms:
    """Cross-entropy of item rows against `target_BT`, and of text columns against their own item.

    `logits_BT` are similarities over temperature. `target_BT` holds weights, zero off the positives, whose
    rows sum to 1, or to 0 for an item without a text, which is left out of the mean. `candidate_BT` (default
    all) says which texts an item row is normalised over. `text_weight_T` and `item_weight_B` (default 1)
    weigh columns and rows in the mean. Columns aim at `text_target_BT`, whose columns sum to 1 (default:
    the own item alone).

    The floor of image to text is the mean entropy of the target rows. `logsum` takes −log of the positives'
    summed share instead, whose floor is 0: one text that fits may carry its item.
    """
    rows_BT = logits_BT if candidate_BT is None else logits_BT.masked_fill(~candidate_BT, -torch.inf)
    log_share_BT = torch.log_softmax(rows_BT, dim=1)
    positive_BT = target_BT > 0
    present_B = positive_BT.any(1)
    if pooling == "logsum":
        # A row without a positive would be −inf, with a gradient that is not a number.
        kept_BT = positive_BT | ~present_B[:, None]
        per_item_B = -log_share_BT.masked_fill(~kept_BT, -torch.inf).logsumexp(1)
    else:
        # 0 · −inf would be NaN at texts that are no candidates.
        per_item_B = -(target_BT * log_share_BT.masked_fill(~positive_BT, 0)).sum(1)
    log_share_of_text_BT = torch.log_softmax(logits_BT, dim=0)
    if text_target_BT is None:
        per_text_T = -log_share_of_text_BT.gather(0, item_T[None, :]).squeeze(0)
    else:
        per_text_T = -(text_target_BT * log_share_of_text_BT).sum(0)
    row_weight_B = torch.ones_like(per_item_B) if item_weight_B is None else item_weight_B
    weight_T = torch.ones_like(per_text_T) if text_weight_T is None else text_weight_T
    entropy_B = (
        torch.zeros_like(per_item_B) if pooling == "logsum" else torch.special.entr(target_BT).sum(1).detach()
    )
    return ContrastTerms(
        image_to_text=_mean(per_item_B[present_B], row_weight_B[present_B]),
        text_to_image=_mean(per_text_T, weight_T),
        floor=_mean(entropy_B[present_B], row_weight_B[present_B]).detach(),
    )


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values).sum() / weights.sum()


class Temperature(nn.Module):
    """A positive divisor of similarities, stored as its logarithm and kept within [0.001, 0.5]."""

    def __init__(self, start: float, *, learned: bool) -> None:
        super().__init__()
        value = torch.tensor(start).log()
        self.log: Tensor
        if learned:
            self.log = nn.Parameter(value)
        else:
            self.register_buffer("log", value)

    def forward(self) -> Tensor:
        return self.log.exp().clamp(0.001, 0.5)
