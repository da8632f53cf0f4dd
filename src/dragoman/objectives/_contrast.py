"""The masked multi-positive contrastive loss under every softmax objective.

B items, T texts. Toy values and properties: 1-to-K contrastive learning, arXiv 2406.18254.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ContrastTerms:
    """Both directions, batch means."""

    image_to_text: Tensor
    text_to_image: Tensor

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


def multi_positive(
    logits_BT: Tensor,
    item_T: Tensor,
    target_BT: Tensor,
    candidate_BT: Tensor | None = None,
    text_weight_T: Tensor | None = None,
) -> ContrastTerms:
    """Cross-entropy of item rows against `target_BT`, and of text columns against their own item.

    `logits_BT` are similarities over temperature. `target_BT` holds weights, zero off the positives, whose
    rows sum to 1, or to 0 for an item without a text, which is left out of the mean. `candidate_BT` (default
    all) says which texts an item row is normalised over. `text_weight_T` (default 1) weighs the columns.
    The floor of image to text is the mean entropy of the target rows.
    """
    rows_BT = logits_BT if candidate_BT is None else logits_BT.masked_fill(~candidate_BT, -torch.inf)
    log_share_BT = torch.log_softmax(rows_BT, dim=1)
    # 0 · −inf would be NaN at texts that are no candidates.
    per_item_B = -(target_BT * log_share_BT.masked_fill(target_BT == 0, 0)).sum(1)
    present = target_BT.sum(1) > 0
    per_text_T = -torch.log_softmax(logits_BT, dim=0).gather(0, item_T[None, :]).squeeze(0)
    weight_T = torch.ones_like(per_text_T) if text_weight_T is None else text_weight_T
    return ContrastTerms(
        image_to_text=per_item_B[present].mean(),
        text_to_image=(weight_T * per_text_T).sum() / weight_T.sum(),
    )


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
