"""NRCCR: noise-robust cross-lingual cross-modal retrieval (Wang et al., ACM MM 2022, arXiv 2208.12526).

Contrast of images with source and target captions; similarity and feature distillation from the
cross-attention teacher; cycle consistency of source and back-translation; a language adversary. P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from dragoman.objectives.contract import Batch, Objective, ObjectiveConfig, Teacher, Views
from dragoman.objectives.losses.adversary import LanguageDiscriminator, Strength, binary
from dragoman.objectives.losses.contrast import (
    Temperature,
    softmax_contrast,
    uniform_targets,
    weighted_targets,
)
from dragoman.objectives.losses.distil import SoftTargets, feature_distillation, similarity_distillation
from dragoman.objectives.losses.triplet import (
    Reduction,
    confident_margin,
    hardest_triplet,
    same_item,
    soft_triplet,
)

Contrast = Literal["triplet", "soft_triplet", "info_nce"]


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """The clean form; `recipes/nrccr_released.py` sets what the authors' code does."""

    # Teacher, cycle and adversary pair the source with one language.
    target_languages: ClassVar[int | None] = 1
    reads_source: ClassVar[bool] = True
    contrast: Contrast = "triplet"
    """Loss of the source and target terms."""
    margin: float = 0.2
    temperature: float = 0.07
    """Divisor of similarities in `info_nce` and in distillation."""
    learn_temperature: bool = True
    """Learn that of `info_nce`; that of distillation stays."""
    reduction: Reduction = "mean"
    """Reduction of the triplet terms; all others are means."""
    negatives: Literal["by_visual_id", "diagonal"] = "by_visual_id"
    source_weight: float = 1.0
    target_weight: float = 0.6
    teacher: Teacher = "source"
    """Reading of the teacher. `shuffled` is a control that gives it the source caption of another pair;
    `itself` is another: a second pass over the target caption with other dropout, as in R-Drop (Liang et al.,
    2021, arXiv 2106.14448), under the losses of the teacher."""
    sim_loss: Literal["ce", "kl", "off"] = "ce"
    sim_weight: float = 0.4
    detach_visual_teacher: bool = True
    feat_loss: Literal["cos", "smooth_l1", "off"] = "cos"
    feat_weight: float = 0.1
    feat_detach_teacher: bool = True
    cycle: bool = True
    cycle_contrast: Literal["triplet", "soft_triplet", "info_nce", "cos"] = "triplet"
    """Loss of the cycle. `cos` only pulls a caption and its back-translation together (1 − cos). The others
    also push captions of other pictures away, although these may be true of the same picture."""
    cycle_weight: float = 0.5
    adversary: Literal["alternating", "off"] = "alternating"
    adversary_weight: float = 0.001
    discriminator: Strength = "medium"
    discriminator_logits: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `contract.NEEDS` that this configuration reads."""
        asked = {
            "back": self.cycle,
            "teacher": self.sim_loss != "off" or self.feat_loss != "off",
            "pooled": self.adversary != "off" and self.discriminator != "strong",
            "tokens": self.adversary != "off" and self.discriminator == "strong",
        }
        return (*super().needs, *(name for name, wanted in asked.items() if wanted))

    @property
    def taught_by(self) -> Teacher:
        """Reading of the teacher."""
        return self.teacher


class NRCCR(Objective):
    """Terms `source`, `target`, `sim`, `feat`, `cycle`, `adversary`; those switched off are absent."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.config = config
        self.contrast_temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.weights = {
            "source": config.source_weight,
            "target": config.target_weight,
            "sim": config.sim_weight,
            "feat": config.feat_weight,
            "cycle": config.cycle_weight,
            "adversary": config.adversary_weight,
        }
        self.discriminator = (
            None
            if config.adversary == "off"
            else LanguageDiscriminator(width, config.discriminator, config.discriminator_logits)
        )

    @property
    def opponent(self) -> nn.Module | None:
        return self.discriminator

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        # Both by ascending pair, so that row i of either is one pair.
        source, target = batch.rows(0), batch.rows(1)
        terms = {
            "source": self._contrast_images(views, batch, source),
            "target": self._contrast_images(views, batch, target),
        }
        if config.sim_loss != "off":
            assert views.teacher is not None
            terms["sim"] = similarity_distillation(
                views.image[batch.item[target]],
                views.teacher,
                views.text[target],
                SoftTargets(
                    temperature=config.temperature,
                    form=config.sim_loss,
                    detach_image=config.detach_visual_teacher,
                ),
                batch.weights(target),
            )
        if config.feat_loss != "off":
            assert views.teacher is not None
            terms["feat"] = feature_distillation(
                views.teacher,
                views.text[target],
                form=config.feat_loss,
                detach_teacher=config.feat_detach_teacher,
                weight_N=batch.weights(target),
            )
        if config.cycle:
            terms["cycle"] = self._contrast_cycle(views, batch, source)
        if self.discriminator is not None:
            # Only the target side is pushed towards the source; the opponent's own weights stay fixed.
            frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
            terms["adversary"] = binary(self._discriminate(views, target, frozen), 1.0)
        return terms

    def opponent_loss(self, views: Views, batch: Batch) -> Tensor:
        """Return the mean of both sides' binary cross-entropy on detached states."""
        still = Views(
            image=views.image,
            text=views.text,
            pooled=None if views.pooled is None else views.pooled.detach(),
            tokens=None if views.tokens is None else views.tokens.detach(),
            mask=views.mask,
        )
        assert self.discriminator is not None
        weights = dict(self.discriminator.named_parameters())
        source = binary(self._discriminate(still, batch.rows(0), weights), 1.0)
        target = binary(self._discriminate(still, batch.rows(1), weights), 0.0)
        return (source + target) / 2

    def _discriminate(self, views: Views, rows: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        from torch.func import functional_call

        assert self.discriminator is not None
        if self.discriminator.reads_tokens:
            assert views.tokens is not None and views.mask is not None
            inputs: tuple[Tensor, ...] = (views.tokens[rows], views.mask[rows])
        else:
            assert views.pooled is not None
            inputs = (views.pooled[rows],)
        logits: Tensor = functional_call(self.discriminator, dict(weights), inputs)
        return logits

    def _contrast_images(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        if self.config.contrast == "info_nce":
            return softmax_contrast(views, batch, rows, self.contrast_temperature()).symmetric()
        item = batch.item[rows]
        similarity_PP = views.image[item] @ views.text[rows].T
        return self._triplet(self.config.contrast, similarity_PP, item, batch, rows)

    def _contrast_cycle(self, views: Views, batch: Batch, source: Tensor) -> Tensor:
        """Contrast source captions with back-translations, which count by the trust of the translation."""
        back = batch.rows(0, back=True)
        # With `back_share` below 1, not every source caption has its way back in the step.
        kept = source[(batch.pair[source][:, None] == batch.pair[back][None, :]).any(1)]
        item, weight_P = batch.item[kept], batch.weights(back)
        similarity_PP = views.text[kept] @ views.text[back].T
        if self.config.cycle_contrast == "cos":
            return (weight_P * (1 - similarity_PP.diagonal())).sum() / weight_P.sum()
        if self.config.cycle_contrast != "info_nce":
            return self._triplet(self.config.cycle_contrast, similarity_PP, item, batch, back)
        same = same_item(item, self.config.negatives)
        logits_PP = similarity_PP / self.contrast_temperature()
        rows_P = -(logits_PP.log_softmax(1) * weighted_targets(same, weight_P)).sum(1)
        columns_P = -(logits_PP.log_softmax(0) * uniform_targets(same)).sum(0)
        found: Tensor = (weight_P * (rows_P + columns_P)).sum() / weight_P.sum() / 2
        return found

    def _triplet(
        self, form: Contrast, similarity_PP: Tensor, item: Tensor, batch: Batch, rows: Tensor
    ) -> Tensor:
        config, weight = self.config, batch.weights(rows)
        same = same_item(item, config.negatives)
        margin = confident_margin(config.margin, batch.confidences(rows))
        if form == "triplet":
            return hardest_triplet(similarity_PP, same, margin, config.reduction, weight)
        return soft_triplet(similarity_PP, same, margin, config.temperature, config.reduction, weight)


def build(config: Config, width: int) -> NRCCR:
    """Return the objective; its discriminator reads pooled trunk states of `width`."""
    return NRCCR(config, width)
