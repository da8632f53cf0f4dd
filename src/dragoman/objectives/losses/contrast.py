"""Contrast: images against texts, and source captions against translations.

`multi_positive` is the loss under every softmax contrast; `softmax_contrast` fills it with all that a step
knows of its texts, and `image_contrast` does so in the forms of 1-to-K (Nie et al., KDD 2024, arXiv
2406.18254).

B items, T texts, R chosen texts, S source captions.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.objectives.contract import Batch, Objective, Views

Form = Literal["pooled_uniform", "pooled_logsum", "per_language"]
Spread = Literal["squares", "moments"]


@dataclass(frozen=True)
class ContrastTerms:
    """The loss in both directions, means over a batch."""

    image_to_text: Tensor
    text_to_image: Tensor
    floor: Tensor
    """The least possible value of `image_to_text`, without gradient."""

    def symmetric(self, text_weight: float = 1.0) -> Tensor:
        """Return half the sum; `text_weight` is the factor of text to image."""
        return (self.image_to_text + text_weight * self.text_to_image) / 2


def own_texts(item_T: Tensor, items: int) -> Tensor:
    """Return [B, T], true where the text belongs to the item."""
    return torch.arange(items, device=item_T.device)[:, None] == item_T[None, :]


def uniform_targets(positive_BT: Tensor) -> Tensor:
    """Return [B, T], equal weight on the positives of a row; rows without a positive stay zero."""
    counts_B1 = positive_BT.sum(1, keepdim=True)
    return positive_BT / counts_B1.clamp(min=1)


def weighted_targets(text_target_BT: Tensor, weight_T: Tensor) -> Tensor:
    """Return [B, T], the shares of an item's texts by weight; `text_target_BT` says how far each text is its
    own.

    Rows sum to 1, or to 0 for an item without a text. With weights of 1 and own texts only, this is
    `uniform_targets`.
    """
    mass_BT = text_target_BT * weight_T
    # A row without a text has no mass: 0 over the smallest number is 0, where 0 / 0 is no number.
    return mass_BT / mass_BT.sum(1, keepdim=True).clamp(min=torch.finfo(mass_BT.dtype).tiny)


def multi_positive(
    logits_BT: Tensor,
    text_target: Tensor,
    item_target_BT: Tensor,
    *,
    text_weight_T: Tensor | None = None,
    item_weight_B: Tensor | None = None,
    pooling: Literal["mean", "logsum"] = "mean",
) -> ContrastTerms:
    """Return the cross-entropy of item rows and of text columns against their targets.

    `logits_BT` are similarities over temperature. Columns aim at `text_target`: the item of each text, [T],
    or shares of the items, [B, T], whose columns sum to 1. Rows aim at `item_target_BT`, whose rows sum to 1,
    or to 0 for an item without a text, which is left out of the mean. `text_weight_T` and `item_weight_B`
    (default 1) weigh columns and rows in the mean.

    The floor of image to text is the mean entropy of the target rows. `logsum` takes −log of the positives'
    summed share instead, whose floor is 0: one text that fits may carry its item.
    """
    log_share_BT = torch.log_softmax(logits_BT, dim=1)
    positive_BT = item_target_BT > 0
    present_B = positive_BT.any(1)
    if pooling == "logsum":
        # A row without a positive would be −inf, with a gradient that is not a number.
        kept_BT = positive_BT | ~present_B[:, None]
        per_item_B = -log_share_BT.masked_fill(~kept_BT, -torch.inf).logsumexp(1)
        entropy_B = torch.zeros_like(per_item_B)
    else:
        per_item_B = -(item_target_BT * log_share_BT).sum(1)
        # `entr` is 0 at 0, where x · ln x is no number.
        entropy_B = torch.special.entr(item_target_BT).sum(1).detach()
    log_share_of_text_BT = torch.log_softmax(logits_BT, dim=0)
    if text_target.dim() == 1:
        per_text_T = -log_share_of_text_BT.gather(0, text_target[None, :]).squeeze(0)
    else:
        per_text_T = -(text_target * log_share_of_text_BT).sum(0)
    row_weight_B = torch.ones_like(per_item_B) if item_weight_B is None else item_weight_B
    weight_T = torch.ones_like(per_text_T) if text_weight_T is None else text_weight_T
    return ContrastTerms(
        image_to_text=_mean(per_item_B[present_B], row_weight_B[present_B]),
        text_to_image=_mean(per_text_T, weight_T),
        floor=_mean(entropy_B[present_B], row_weight_B[present_B]).detach(),
    )


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (weights * values).sum() / weights.sum()


def softmax_contrast(
    views: Views,
    batch: Batch,
    rows: Tensor,
    temperature: Tensor,
    form: Form = "per_language",
    neighbours: float = 0.0,
) -> ContrastTerms:
    """Return the loss of the items against the texts `rows`, all of them candidates of one softmax.

    Weights of the batch become shares of an item's texts, and weights of the texts in the mean. In the form
    `per_language` (the rows are of one language) an item counts by the mean weight of its texts; where all
    languages share a softmax, it counts like any other. `neighbours` is that of `text_targets`.
    """
    item_R, weight_R = batch.item[rows], batch.weights(rows)
    text_target_BR = text_targets(views, batch, rows, temperature, neighbours)
    own_BR = own_texts(item_R, len(views.image))
    # An item without a text of its own is no row, though texts of its neighbours may aim at it.
    item_target_BR = weighted_targets(text_target_BR, weight_R) * own_BR.any(1, keepdim=True)
    item_weight_B = (own_BR * weight_R).sum(1) / own_BR.sum(1).clamp(min=1)
    return multi_positive(
        views.image @ views.text[rows].T / temperature,
        text_target_BR if neighbours or batch.confidence is not None else item_R,
        item_target_BR,
        text_weight_T=weight_R,
        item_weight_B=item_weight_B if form == "per_language" else None,
        pooling="logsum" if form == "pooled_logsum" else "mean",
    )


def image_contrast(
    views: Views, batch: Batch, rows: Tensor, temperature: Tensor, form: Form, neighbours: float = 0.0
) -> ContrastTerms:
    """Return the loss of the items against the texts `rows` of any languages.

    `pooled_uniform`: one softmax over all texts, which share the target of an image; `pooled_logsum`: the
    same, but one of them may take all of it; `per_language`: a softmax inside each language, averaged.
    """
    if form != "per_language":
        return softmax_contrast(views, batch, rows, temperature, form, neighbours)
    lang_R = batch.lang[rows]
    each = [
        softmax_contrast(views, batch, rows[lang_R == lang], temperature, form, neighbours)
        for lang in torch.unique(lang_R)
    ]
    return ContrastTerms(
        image_to_text=torch.stack([terms.image_to_text for terms in each]).mean(),
        text_to_image=torch.stack([terms.text_to_image for terms in each]).mean(),
        floor=torch.stack([terms.floor for terms in each]).mean(),
    )


def text_targets(
    views: Views, batch: Batch, rows: Tensor, temperature: Tensor, neighbours: float = 0.0
) -> Tensor:
    """Return [B, R], the items that each text is true of; columns sum to 1.

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
    # A text that is its own source caption has nothing to fall back on.
    confidence_R = torch.where(source_R == rows, 1.0, batch.confidence[rows])
    with torch.no_grad():
        found_BR = (views.image @ views.text[source_R].T / temperature).softmax(0)
    return confidence_R * own_BR + (1 - confidence_R) * found_BR


def bridge(views: Views, batch: Batch, temperature: Tensor) -> ContrastTerms | None:
    """Return the loss of source captions against all translations whose item has one; None without any.

    The text side of pivot training and of bitext tasks. Captions of one item are positives of each other,
    never negatives, whichever of them was translated.
    """
    source, rows = batch.rows(0), batch.captions()
    rows = rows[batch.lang[rows] != 0]
    item_S, item_R = batch.item[source], batch.item[rows]
    same_SR = item_S[:, None] == item_R[None, :]
    linked_R = same_SR.any(0)
    if not linked_R.any():
        return None
    rows, same_SR = rows[linked_R], same_SR[:, linked_R].to(views.text.dtype)
    weight_R = batch.weights(rows)
    return multi_positive(
        views.text[source] @ views.text[rows].T / temperature,
        uniform_targets(same_SR.T).T,
        weighted_targets(same_SR, weight_R),
        text_weight_T=weight_R,
    )


def paired_contrast(
    first_RJ: Tensor, second_RJ: Tensor, item_R: Tensor, weight_R: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return the symmetric loss of captions in one form against the same captions in another; those of one
    item are positives of each other."""
    same_RR = (item_R[:, None] == item_R[None, :]).to(first_RJ.dtype)
    return multi_positive(
        first_RJ @ second_RJ.T / temperature,
        uniform_targets(same_RR),
        weighted_targets(same_RR, weight_R),
        text_weight_T=weight_R,
        item_weight_B=weight_R,
    ).symmetric()


def spread_out(vectors_NJ: Tensor, item_N: Tensor, form: Spread = "squares") -> Tensor:
    """Return how far unit vectors of different items are from lying in all directions; 0 of a single item.

    `squares` is the mean of their squared cosines (arXiv 2404.01616, section 2.2); `moments` the square of
    their mean cosine, and what the mean of their squares has above 1 / J, where random vectors have it
    (Zhang et al., ICCV 2017).
    """
    cosine_M = (vectors_NJ @ vectors_NJ.T)[item_N[:, None] != item_N[None, :]]
    pairs = max(1, len(cosine_M))
    squares = cosine_M.square().sum() / pairs
    if form == "squares":
        return squares
    return (cosine_M.sum() / pairs).square() + F.relu(squares - 1 / vectors_NJ.shape[1])


def sigmoid_contrast(logits_BT: Tensor, target_BT: Tensor, weight_T: Tensor | None = None) -> Tensor:
    """Return the sum over all pairs of the binary cross-entropy against `target_BT` in 0..1, over the number
    of items (SigLIP: Zhai et al., ICCV 2023): every image and text is a yes-or-no question.

    `weight_T` (default 1) weighs the texts, relative to their mean.
    """
    # Without a normaliser over the batch, several positives and weights of single texts need no care.
    pairs_BT = F.binary_cross_entropy_with_logits(logits_BT, target_BT, reduction="none")
    if weight_T is not None:
        pairs_BT = pairs_BT * (weight_T / weight_T.mean())
    return pairs_BT.sum() / len(logits_BT)


class SigmoidScale(nn.Module):
    """Similarities to logits: a · s + b with learned a = 10 and b = −10 at the start."""

    def __init__(self, scale: float = 10.0, bias: float = -10.0) -> None:
        super().__init__()
        # A logarithm, so that the scale stays above 0 wherever a step takes it.
        self.log = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, similarity: Tensor) -> Tensor:
        logits: Tensor = self.log.exp() * similarity + self.bias
        return logits


class Temperature(nn.Module):
    """A positive divisor of similarities, stored as its logarithm and kept within [`least`, 0.5]."""

    def __init__(self, start: float, *, learned: bool, least: float = 0.001) -> None:
        super().__init__()
        self.least = least
        value = torch.tensor(start).log()
        self.log: Tensor
        if learned:
            self.log = nn.Parameter(value)
        else:
            self.register_buffer("log", value)

    def forward(self) -> Tensor:
        # Beyond these a softmax is a maximum, or tells nothing apart; the gradient is 0 there.
        return self.log.exp().clamp(self.least, 0.5)


class LanguagesApart(Objective):
    """An objective that contrasts images with the captions of one language at a time.

    Terms `source` and `target`; several target languages are averaged, and absent ones left out.
    """

    def __init__(self, source_weight: float, target_weight: float) -> None:
        super().__init__()
        self.weights = {"source": source_weight, "target": target_weight}

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        source = batch.rows(0)
        terms = {"source": self.contrast(views, batch, source)} if len(source) else {}
        targets = [lang for lang in range(1, len(batch.languages)) if len(batch.rows(lang))]
        if targets and self.weights["target"]:
            losses = [self.contrast(views, batch, batch.rows(lang)) for lang in targets]
            terms["target"] = sum(losses[1:], losses[0]) / len(losses)
        return terms

    @abstractmethod
    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        """Return the loss of the images against some texts, which are of one language."""
