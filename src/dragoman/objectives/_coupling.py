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
    neighbours: float = 0.0,
) -> ContrastTerms:
    """The unified loss (`multi_positive`) of the items against the texts `rows`, all of them candidates.

    Weights of the batch become shares of an item's texts and weights of the texts in the mean; with
    `weigh_items` an item counts by the mean weight of its texts, without it like any other.
    """
    item_R, weight_R = batch.item[rows], batch.weights(rows)
    logits_BR = views.image @ views.text[rows].T / temperature
    text_target_BR = text_targets(views, batch, rows, temperature, neighbours)
    own_BR = own_texts(item_R, len(views.image))
    # An item without a text of its own is no row, though texts of its neighbours may aim at it.
    target_BR = weighted_targets(text_target_BR, weight_R) * own_BR.any(1, keepdim=True)
    return multi_positive(
        logits_BR,
        item_R,
        target_BR,
        text_weight_T=weight_R,
        text_target_BT=text_target_BR if neighbours or batch.confidence is not None else None,
        item_weight_B=(own_BR * weight_R).sum(1) / own_BR.sum(1).clamp(min=1) if weigh_items else None,
        pooling=pooling,
    )


def text_targets(
    views: Views, batch: Batch, rows: Tensor, temperature: Tensor, neighbours: float = 0.0
) -> Tensor:
    """[B, R] the items that each text is true of; columns sum to 1.

    The own item alone, but for two things. A share `neighbours` goes to the items whose images look like the
    own one: softmax over items of the similarity of their vectors over temperature, itself included. A text
    of confidence c aims at its own item by c only, and by 1 − c at the items that its source caption finds
    similar: softmax over items of their similarity to that caption over temperature. Both without gradient
    (confidence-weighted soft targets, as in LECCR and NCR).
    """
    item_R = batch.item[rows]
    own_BR = own_texts(item_R, len(views.image)).to(views.image.dtype)
    if neighbours:
        with torch.no_grad():
            alike_BB = (views.image @ views.image.T / temperature).softmax(0)
        own_BR = (1 - neighbours) * own_BR + neighbours * alike_BB[:, item_R]
    if batch.confidence is None:
        return own_BR
    source_R = batch.sources(rows)
    confidence_R = torch.where(source_R == rows, 1.0, batch.confidence[rows])
    with torch.no_grad():
        found_BR = (views.image @ views.text[source_R].T / temperature).softmax(0)
    return confidence_R * own_BR + (1 - confidence_R) * found_BR
