"""1-to-K contrastive learning: an image against its captions in all languages at once (CCR^k: Nie et al., KDD
2024, arXiv 2406.18254).

With one caption per image (`draw=1`) every form is the ordinary 1-to-1 loss. B items, T texts, K languages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.objectives.contract import Batch, Fused, MatchingConfig, Objective, Views
from dragoman.objectives.losses.contrast import Form, Temperature, image_contrast


@dataclass(frozen=True, kw_only=True)
class Config(MatchingConfig):
    """The released form, but for the weight of text to image and images that meet themselves, and without
    the terms of the fusion encoder."""

    form: Form = "pooled_uniform"
    """`pooled_uniform`: one softmax over all texts, which share the target; `pooled_logsum`: the same, but
    one of them may take all of it; `per_language`: a contrast inside each language, averaged."""
    text_weight: Literal["one", "inverse_k"] = "one"
    """Factor of text to image: 1, or 1/K as released, K being the languages of the step."""
    temperature: float = 0.07
    learn_temperature: bool = True
    rows: Literal["item", "caption"] = "item"
    """`caption` lets an image stand in the batch once for each of its source captions, and be its own
    negative, as released."""


class OneToK(Objective):
    """Terms `image_to_text` and `text_to_image`, and for reading `floor`, the least value of the first; with
    a fusion encoder `mitm` and `cmlm`.

    Values of `image_to_text` compare across K only above their floor, which is log K for K equal shares.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)
        weights = {"image_to_text": 0.5, "text_to_image": 0.5, "floor": 0.0}
        self.weights = weights | config.fused_weights

    @property
    def learned_temperature(self) -> Tensor:
        learned: Tensor = self.temperature().detach()
        return learned

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        if self.config.rows == "caption":
            views, batch = row_per_caption(views, batch)
        rows = batch.captions()
        terms = image_contrast(views, batch, rows, self.temperature(), self.config.form)
        factor = 1.0
        if self.config.text_weight == "inverse_k":
            factor = 1 / len(torch.unique(batch.lang[rows]))
        return {
            "image_to_text": terms.image_to_text,
            "text_to_image": factor * terms.text_to_image,
            "floor": terms.floor,
            **fused_terms(views.fused, self.config),
        }


def row_per_caption(views: Views, batch: Batch) -> tuple[Views, Batch]:
    """Return the step with an image row for each pair instead of each item."""
    item_of_pair = torch.zeros(int(batch.pair.max()) + 1, dtype=torch.long, device=batch.pair.device)
    item_of_pair[batch.pair] = batch.item
    return replace(views, image=views.image[item_of_pair]), replace(batch, item=batch.pair)


def fused_terms(fused: Fused | None, config: MatchingConfig) -> dict[str, Tensor]:
    """Return `mitm` and `cmlm`, means of cross-entropies over pairs and over hidden words; those that are
    on."""
    terms: dict[str, Tensor] = {}
    if config.mitm_weight:
        assert fused is not None and fused.match_logits is not None and fused.match_labels is not None
        terms["mitm"] = _cross_entropy(fused.match_logits, fused.match_labels)
    if config.cmlm_weight:
        assert fused is not None and fused.word_logits is not None and fused.word_labels is not None
        terms["cmlm"] = _cross_entropy(fused.word_logits, fused.word_labels)
    return terms


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    # The mean over no row would be NaN; this zero keeps the parameters in the graph.
    return F.cross_entropy(logits.float(), labels) if len(labels) else logits.sum() * 0


def build(config: Config, width: int) -> OneToK:
    """Return the objective; the width of the trunk does not matter to it."""
    return OneToK(config)
