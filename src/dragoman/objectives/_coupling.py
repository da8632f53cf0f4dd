"""Images against chosen texts of a step, with all that is known of how far each text can be trusted.

R chosen texts, B items.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dragoman.objectives._contrast import ContrastTerms, multi_positive, own_texts, weighted_targets
from dragoman.objectives._views import Batch, Views


def softmax_contrast(
    views: Views,
    batch: Batch,
    rows: Tensor,
    temperature: Tensor,
    *,
    pooling: Literal["mean", "logsum"] = "mean",
    weigh_items: bool = True,
) -> ContrastTerms:
    """The unified loss (`multi_positive`) of the items against the texts `rows`, all of them candidates.

    Weights of the batch become shares of an item's texts and weights of the texts in the mean; with
    `weigh_items` an item counts by the mean weight of its texts, without it like any other.
    """
    item_R, weight_R = batch.item[rows], batch.weights(rows)
    logits_BR = views.image @ views.text[rows].T / temperature
    text_target_BR = text_targets(views, batch, rows, temperature)
    own_BR = own_texts(item_R, len(views.image))
    target_BR = weighted_targets(text_target_BR, weight_R) * own_BR.any(1, keepdim=True)
    return multi_positive(
        logits_BR,
        item_R,
        target_BR,
        text_weight_T=weight_R,
        text_target_BT=None if batch.confidence is None else text_target_BR,
        item_weight_B=(own_BR * weight_R).sum(1) / own_BR.sum(1).clamp(min=1) if weigh_items else None,
        pooling=pooling,
    )


def text_targets(views: Views, batch: Batch, rows: Tensor, temperature: Tensor) -> Tensor:
    """[B, R] the items that each text is true of; columns sum to 1.

    Without confidences the own item alone. A text of confidence c aims at its own item by c, and by 1 − c at
    the items that its source caption finds similar: softmax over items of their similarity to that caption
    over temperature, without gradient (confidence-weighted soft targets, as in LECCR and NCR).
    """
    own_BR = own_texts(batch.item[rows], len(views.image)).to(views.image.dtype)
    if batch.confidence is None:
        return own_BR
    source_R = batch.sources(rows)
    confidence_R = torch.where(source_R == rows, 1.0, batch.confidence[rows])
    with torch.no_grad():
        found_BR = (views.image @ views.text[source_R].T / temperature).softmax(0)
    return confidence_R * own_BR + (1 - confidence_R) * found_BR
