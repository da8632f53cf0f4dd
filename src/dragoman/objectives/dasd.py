"""DASD: adapters that are conditioned on the caption (AAAI 2025, arXiv 2412.13510), on a frozen dual encoder.

Two stages in one run. First a translation learns where the encoder puts its source caption; then, beside
that, to find its image. Its semantic feature learns to be the vector of the source caption, or of the image;
its agnostic feature to tell nothing of that vector, as a discriminator sees it.

P translations, B items, H trunk width, J joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, Objective, ObjectiveConfig, Views
from dragoman.objectives.losses.adversary import LanguageDiscriminator
from dragoman.objectives.losses.contrast import image_contrast


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """The clean form; vectors that are learned towards have no gradient, and are of any length."""

    reads_source: ClassVar[bool] = True
    contrast_from: float = 0.865
    """Share of the run after which the second stage begins, in the paper 45,000 of 52,000 steps; 1 is never.
    With a cosine, the learning rate has then fallen to a twentieth of its peak."""
    source_weight: float = 1.0
    """Weight of the squared distance of a component of a translation to that of its source caption."""
    contrast_weight: float = 1.0
    temperature: float = 0.01
    """Divisor of similarities in the contrast."""
    semantic_weight: float = 0.1
    """Weight of the distance of the semantic feature to the vector of the source caption (L1), in the second
    stage to that of the image (smooth L1)."""
    adversary_weight: float = 0.001

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `contract.NEEDS` that this configuration reads."""
        return (*super().needs, "raw", "raw_image", "semantic", "agnostic")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.contrast_from <= 1:
            raise UserError(f"loss.contrast_from must lie in [0, 1], got {self.contrast_from}")


class DASD(Objective):
    """Terms `source`, `semantic` and `adversary`; in the second stage `contrast` as well.

    The discriminator reads pairs of an agnostic feature and a vector, and has two logits: of belonging
    together, and of not.
    """

    def __init__(self, config: Config, width: int, joint: int) -> None:
        super().__init__()
        self.config = config
        self.weights = {
            "source": config.source_weight,
            "semantic": config.semantic_weight,
            "contrast": config.contrast_weight,
            "adversary": config.adversary_weight,
        }
        self.discriminator = LanguageDiscriminator(width + joint, "medium", logits=2)

    @property
    def opponent(self) -> nn.Module:
        return self.discriminator

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        assert views.raw is not None and views.semantic is not None
        rows = _translations(batch)
        if not len(rows):
            # A step of captions that nobody translated: it moves nothing, but has a gradient.
            return {"source": next(self.discriminator.parameters()).sum() * 0}
        weight_P, source_PJ = batch.weights(rows), views.raw[batch.sources(rows)].detach()
        terms = {"source": _mean((views.raw[rows] - source_PJ).square(), weight_P)}
        semantic_PJ = views.semantic[rows]
        if self._contrasts(batch):
            temperature = torch.tensor(self.config.temperature, device=rows.device)
            terms["contrast"] = image_contrast(views, batch, rows, temperature, "per_language").symmetric()
            apart_PJ = F.smooth_l1_loss(semantic_PJ, self._truth(views, batch, rows), reduction="none")
        else:
            apart_PJ = (semantic_PJ - source_PJ).abs()
        terms["semantic"] = _mean(apart_PJ, weight_P)
        # Its own weights stay as they are: whoever deceives must not teach the one that is deceived.
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        _, flipped = self._judged(views, batch, frozen)
        if len(flipped):
            terms["adversary"] = two_logits(flipped, 0)
        return terms

    def opponent_loss(self, views: Views, batch: Batch) -> Tensor:
        """Return the mean of both kinds of pairs' binary cross-entropy on detached features."""
        assert views.agnostic is not None and views.raw is not None
        still = Views(
            image=views.image,
            text=views.text,
            raw=views.raw.detach(),
            raw_image=views.raw_image,
            agnostic=views.agnostic.detach(),
        )
        own, flipped = self._judged(still, batch, dict(self.discriminator.named_parameters()))
        if not len(flipped):
            # Of a single caption there is nothing to tell, but a gradient is wanted.
            return own.sum() * 0
        return (two_logits(own, 0) + two_logits(flipped, 1)) / 2

    def _judged(self, views: Views, batch: Batch, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [P, 2] of agnostic features beside their own vectors; and of those beside the vectors of the
        step in opposite order, where these are of another item."""
        assert views.agnostic is not None
        rows = _translations(batch)
        agnostic_PH, truth_PJ = views.agnostic[rows], self._truth(views, batch, rows)
        other_P = batch.item[rows] != batch.item[rows.flip(0)]

        def judge(vectors_NJ: Tensor, features_NH: Tensor) -> Tensor:
            read = torch.cat([features_NH, vectors_NJ], dim=1)
            logits: Tensor = functional_call(self.discriminator, dict(weights), (read,))
            return logits

        return judge(truth_PJ, agnostic_PH), judge(truth_PJ.flip(0)[other_P], agnostic_PH[other_P])

    def _truth(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        """[P, J] vectors of the source captions, in the second stage of the images."""
        if self._contrasts(batch):
            assert views.raw_image is not None
            return views.raw_image[batch.item[rows]].detach()
        assert views.raw is not None
        return views.raw[batch.sources(rows)].detach()

    def _contrasts(self, batch: Batch) -> bool:
        return self.config.contrast_from < 1 and batch.done >= self.config.contrast_from


def _translations(batch: Batch) -> Tensor:
    """Rows of all captions but those of the source: a language after the other, by ascending pair."""
    return torch.cat([batch.rows(lang) for lang in range(1, len(batch.languages))] or [batch.rows(0)[:0]])


def _mean(values_PJ: Tensor, weight_P: Tensor) -> Tensor:
    """Mean over components and captions, these by their weights."""
    return (weight_P * values_PJ.mean(1)).sum() / weight_P.sum()


def two_logits(logits_N2: Tensor, kind: int) -> Tensor:
    """Return the mean binary cross-entropy of both logits, of which that of `kind` shall be on, and the other
    off."""
    label_N2 = torch.zeros_like(logits_N2)
    label_N2[:, kind] = 1
    return F.binary_cross_entropy_with_logits(logits_N2, label_N2)


def build(config: Config, width: int, joint: int) -> DASD:
    """Return the objective; its discriminator reads features of `width` beside vectors of `joint`."""
    return DASD(config, width, joint)
