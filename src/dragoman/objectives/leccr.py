"""LECCR: descriptions of images, compressed into slots, enrich what is seen; the rows of English similarities
soften the matching of images and translations (Wang et al., ACM MM 2024, arXiv 2409.19961).

Defaults are those of the released configurations for Chinese COCO, French and Czech Multi30K. B items, R
texts, n slots, W width of the states, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, ObjectiveConfig, Slots, Views
from dragoman.objectives.losses.contrast import (
    ContrastTerms,
    LanguagesApart,
    Temperature,
    bridge,
    multi_positive,
    own_texts,
    softmax_contrast,
    weighted_targets,
)


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """The clean form; `recipes/leccr_released.py` sets what the authors' code does."""

    reads_source: ClassVar[bool] = True
    temperature: float = 0.07
    learn_temperature: bool = True
    source_weight: float = 1.0
    target_weight: float = 1.0
    """Weight of the target languages, of which `softening` is the part of soft labels."""
    bridge_weight: float = 1.0
    """Weight of the contrast of source captions and translations."""
    slot_weight: float = 0.01
    """Weight of the contrast of captions and slots, in each of source and target."""
    diversity_weight: float = 0.01
    """Weight of what keeps the slots of an item unlike one another."""
    agreement_weight: float = 0.01
    """Weight of the contrast by which the slots of an item agree with its image."""
    softening: float = 0.5
    """Part of soft labels in the matching of images and translations; the contrast has the rest."""
    vision_share: float = 0.8
    """Part of the similarities of a source caption to the images in the soft labels of its translation; those
    to the slots have the rest."""
    softness: float = 0.1
    """Divisor of the scores of soft labels, and of the similarities that learn them. Scores lie in [0, 1]:
    with 1, as released, labels are nearly uniform."""
    orientation: Literal["captions", "released"] = "captions"
    """Rows of the slots' part of soft labels: `captions`, as in all other parts; `released` adds a matrix
    whose rows are images to one whose rows are captions."""
    diversity: Literal["squared", "signed"] = "squared"
    """Mean of the squared cosines of different slots, or as released the mean of all cosines less those of a
    slot with itself, which rewards opposite slots."""
    agreement: Literal["width", "released"] = "width"
    """Axis along which both sides of the agreement have unit length: their width, with the temperature of the
    contrast; or as released the slots, and no temperature."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `contract.NEEDS` that this configuration reads."""
        return (*super().needs, "slots")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("softening", "vision_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"loss.{name} must lie in [0, 1], got {getattr(self, name)}")
        if not self.softness > 0:
            raise UserError(f"loss.softness must be above 0, got {self.softness}")


class LECCR(LanguagesApart):
    """Terms `source`, `target`, `bridge`, `soft`, `slots_source`, `slots_target`, `diversity`, `agreement`;
    those of weight 0, and those that a step has no texts or descriptions for, are absent."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight * (1 - config.softening))
        self.config = config
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.weights = {
            **self.weights,
            "soft": config.target_weight * config.softening,
            "bridge": config.bridge_weight,
            "slots_source": config.slot_weight,
            "slots_target": config.slot_weight,
            "diversity": config.diversity_weight,
            "agreement": config.agreement_weight,
        }

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        assert views.slots is not None
        config, slots = self.config, views.slots
        terms = super().forward(views, batch)
        found: dict[str, Tensor | None] = {
            "soft": self._soft(views, batch, slots),
            "bridge": self._bridge(views, batch),
            "slots_source": self._slots(views, batch, slots, [0]),
            "slots_target": self._slots(views, batch, slots, range(1, len(batch.languages))),
        }
        if slots.described.any():
            found["diversity"] = diversity(slots.states[slots.described], config.diversity)
            found["agreement"] = self._agreement(slots)
        return terms | {name: term for name, term in found.items() if term is not None and self.weights[name]}

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()

    def _bridge(self, views: Views, batch: Batch) -> Tensor | None:
        tied = bridge(views, batch, self.temperature())
        return None if tied is None else tied.symmetric()

    def _soft(self, views: Views, batch: Batch, slots: Slots) -> Tensor | None:
        """The mean over target languages of KL(labels of the source captions ‖ their translations)."""
        config, losses = self.config, []
        for lang in range(1, len(batch.languages)):
            rows = batch.rows(lang)
            source = batch.sources(rows)
            rows, source = rows[source != rows], source[source != rows]
            if not len(rows):
                continue
            image_BJ, here = views.image, slots
            if config.orientation == "released":
                # A row for each caption, so that the two orientations are of one shape.
                item = batch.item[rows]
                image_BJ, here = image_BJ[item], chosen(slots, item)
            with torch.no_grad():
                label_RB = soft_labels(
                    image_BJ,
                    views.text[source],
                    here,
                    vision_share=config.vision_share,
                    softness=config.softness,
                    transposed=config.orientation == "released",
                )
            learned_RB = (views.text[rows] @ image_BJ.T / config.softness).log_softmax(1)
            apart_R = (label_RB.xlogy(label_RB) - label_RB * learned_RB).sum(1)
            weight_R = batch.weights(rows)
            losses.append((weight_R * apart_R).sum() / weight_R.sum())
        return torch.stack(losses).mean() if losses else None

    def _slots(self, views: Views, batch: Batch, slots: Slots, languages: range | list[int]) -> Tensor | None:
        """The mean over languages of the contrast of captions and the slots of their items."""
        found = [
            terms.symmetric()
            for lang in languages
            if (terms := slot_contrast(views, batch, slots, batch.rows(lang), self.temperature())) is not None
        ]
        return torch.stack(found).mean() if found else None

    def _agreement(self, slots: Slots) -> Tensor:
        slot_KnW, vision_KRW = slots.slot_sides[slots.described], slots.vision_sides[slots.described]
        if self.config.agreement == "released":
            return agreement(F.normalize(slot_KnW, dim=1), F.normalize(vision_KRW, dim=1))
        scale = self.temperature()
        return agreement(F.normalize(slot_KnW, dim=2), F.normalize(vision_KRW, dim=2) / scale)


def chosen(slots: Slots, items: Tensor) -> Slots:
    """Return the slots of some items, which may repeat."""
    return Slots(**{name: value[items] for name, value in vars(slots).items()})


def nearest_slot(joint_BnJ: Tensor, text_RJ: Tensor) -> Tensor:
    """[B, R] products of texts with that slot of each item with which it is largest."""
    return torch.einsum("bnj,rj->bnr", joint_BnJ, text_RJ).amax(1)


def slot_contrast(
    views: Views, batch: Batch, slots: Slots, rows: Tensor, temperature: Tensor
) -> ContrastTerms | None:
    """Return the loss of the slots of described items against the texts `rows` of described items; None where
    there are none."""
    rows = rows[slots.described[batch.item[rows]]]
    if not len(rows):
        return None
    places_B = slots.described.cumsum(0) - 1
    item_R, weight_R = places_B[batch.item[rows]], batch.weights(rows)
    joint_KnJ = slots.joint[slots.described]
    own_KR = own_texts(item_R, len(joint_KnJ)).to(weight_R.dtype)
    return multi_positive(
        nearest_slot(joint_KnJ, views.text[rows]) / temperature,
        item_R,
        weighted_targets(own_KR, weight_R),
        text_weight_T=weight_R,
    )


def diversity(states_BnW: Tensor, form: Literal["squared", "signed"]) -> Tensor:
    """Return how alike the slots of an item are; 0 of a single slot."""
    count = states_BnW.shape[1]
    unit_BnW = F.normalize(states_BnW, dim=2)
    cosine_Bnn = unit_BnW @ unit_BnW.transpose(1, 2)
    apart_Bnn = cosine_Bnn - torch.eye(count, device=states_BnW.device)
    if form == "signed":
        return apart_Bnn.mean()
    return apart_Bnn.square().sum() / max(1, len(states_BnW) * count * (count - 1))


def agreement(slot_BnW: Tensor, vision_BRW: Tensor) -> Tensor:
    """Return the cross-entropy by which an item's slots find its image: over the mean products of slots and
    vision vectors."""
    # The mean of all products of two sets is the product of their means.
    logits_BB = slot_BnW.mean(1) @ vision_BRW.mean(1).T
    return F.cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))


def soft_labels(
    image_BJ: Tensor,
    source_RJ: Tensor,
    slots: Slots,
    *,
    vision_share: float,
    softness: float,
    transposed: bool = False,
) -> Tensor:
    """Return [R, B], which images a source caption is true of: softmax over images of its similarities to
    images and to their slots, each from 0 to 1 over the whole matrix, over `softness`.

    An item without a description counts by its image alone. If `transposed`, rows of the slots' part are
    images, as the released code has it, and R must be B.
    """
    vision_RB = between_0_and_1(source_RJ @ image_BJ.T)
    slot_RB, told = vision_RB, slots.described.nonzero().squeeze(1)
    if len(told):
        near_RK = between_0_and_1(nearest_slot(slots.joint[told], source_RJ).T)
        slot_RB = vision_RB.index_copy(1, told, near_RK)
    if transposed:
        slot_RB = slot_RB.T
    return ((vision_share * vision_RB + (1 - vision_share) * slot_RB) / softness).softmax(1)


def between_0_and_1(scores: Tensor) -> Tensor:
    """Move scores so that the least of all is 0 and the largest 1; equal ones become 0."""
    above = scores - scores.min()
    return above / above.max().clamp(min=torch.finfo(above.dtype).tiny)


def build(config: Config, width: int) -> LECCR:
    """Return the objective; the width of the trunk does not matter to it."""
    return LECCR(config)
