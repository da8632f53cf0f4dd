"""The house objective: images against captions in all languages, each as far as it can be trusted, and
translations tied to the source captions they were made from.

It joins 1-to-K (arXiv 2406.18254), distillation of similarities from the source side (NRCCR, arXiv
2208.12526; CL2CM, arXiv 2312.08984), a bitext task (MURAL) and robust contrasts; every part is a switch. What
trust does is set by the run (`trust.` settings). B items, R texts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, Objective, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import (
    Form,
    SigmoidScale,
    Spread,
    Temperature,
    bridge,
    image_contrast,
    sigmoid_contrast,
    spread_out,
    text_targets,
)
from dragoman.objectives.losses.distil import feature_distillation, source_distillation
from dragoman.objectives.losses.triplet import confident_margin, same_item, soft_triplet


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """Weights of 0 switch a part off, and it is not computed."""

    contrast: Literal["softmax", "sigmoid", "soft_triplet"] = "softmax"
    form: Form = "pooled_uniform"
    """Form of the softmax contrast (`one_to_k`)."""
    text_weight: float = 1.0
    """Factor of text to image in the softmax contrast."""
    temperature: float = 0.07
    learn_temperature: bool = True
    neighbours: float = 0.0
    """Share of the target of a text, in the softmax and the sigmoid contrast, that goes to images which look
    like its own."""
    margin: float = 0.1
    """Margin of the triplet alignment loss, whose temperature is `triplet_temperature`."""
    triplet_temperature: float = 0.015
    bridge_weight: float = 0.0
    """Contrast of source captions and translations."""
    distil_weight: float = 0.0
    """Cross-entropy between the similarities of a source caption and of its translation to the images."""
    distil_temperature: float = 0.07
    pull_weight: float = 0.0
    """1 − cos of a translation and its source caption, which gets no gradient from it."""
    spread_weight: float = 0.0
    """Squared cosines of vectors of different items, of texts and of images, so that none is near to all."""
    spread: Spread = "squares"
    """`moments` lets them be as large as those of random vectors."""
    widths: tuple[str, ...] = ()
    """Leading components of the vectors that must serve alone as well (Matryoshka), as in `64,128`."""

    @property
    def prefixes(self) -> tuple[int, ...]:
        """`widths` as numbers."""
        return tuple(int(width) for width in self.widths)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.neighbours < 1:
            raise UserError(f"neighbours must lie in [0, 1), got {self.neighbours}")
        if any(not width.isdecimal() or int(width) < 1 for width in self.widths):
            raise UserError(f"widths must be whole numbers above 0, got {', '.join(self.widths)}")


class Dragoman(Objective):
    """Terms `contrast`, `bridge`, `distil`, `pull`, `spread`; those switched off are absent."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.scale: nn.Module = (
            SigmoidScale()
            if config.contrast == "sigmoid"
            else Temperature(config.temperature, learned=config.learn_temperature)
        )
        self.bridge_temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.weights = {
            "contrast": 1.0,
            "bridge": config.bridge_weight,
            "distil": config.distil_weight,
            "pull": config.pull_weight,
            "spread": config.spread_weight,
        }

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        whole = views.image.shape[1]
        # The whole vector last and always: it is the one that indexes hold.
        widths = (*(width for width in self.config.prefixes if width < whole), whole)
        found = [self._terms(views if width == whole else _cut(views, width), batch) for width in widths]
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}

    def _terms(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        config, rows = self.config, batch.captions()
        terms = {"contrast": self._contrast(views, batch, rows)}
        crossed = bridge(views, batch, self.bridge_temperature()) if config.bridge_weight else None
        if crossed is not None:
            terms["bridge"] = crossed.symmetric()
        translated = rows[batch.lang[rows] != 0]
        source = batch.sources(translated)
        linked = source != translated
        translated, source = translated[linked], source[linked]
        weight_R = batch.weights(translated)
        if config.distil_weight and len(translated):
            terms["distil"] = source_distillation(
                views.image, views.text[source], views.text[translated], config.distil_temperature, weight_R
            )
        if config.spread_weight:
            images = torch.arange(len(views.image), device=views.image.device)
            texts = spread_out(views.text[rows], batch.item[rows], config.spread)
            terms["spread"] = texts + spread_out(views.image, images, config.spread)
        if config.pull_weight and len(translated):
            terms["pull"] = feature_distillation(
                views.text[source], views.text[translated], weight_N=weight_R
            )
        return terms

    def _contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        config = self.config
        if config.contrast == "softmax":
            terms = image_contrast(views, batch, rows, self.scale(), config.form, config.neighbours)
            return terms.symmetric(config.text_weight)
        weight_R, item_R = batch.weights(rows), batch.item[rows]
        if config.contrast == "soft_triplet":
            return soft_triplet(
                views.image[item_R] @ views.text[rows].T,
                same_item(item_R, "by_visual_id"),
                confident_margin(config.margin, batch.confidences(rows)),
                config.triplet_temperature,
                weight_N=weight_R,
            )
        target_BR = text_targets(views, batch, rows, torch.tensor(config.temperature), config.neighbours)
        return sigmoid_contrast(self.scale(views.image @ views.text[rows].T), target_BR, weight_R)


def _cut(views: Views, width: int) -> Views:
    """Return the leading components of the vectors, at unit length again."""
    return replace(
        views,
        image=F.normalize(views.image[:, :width], dim=1),
        text=F.normalize(views.text[:, :width], dim=1),
    )


def build(config: Config, width: int) -> Dragoman:
    """Return the objective; the width of the trunk does not matter to it."""
    return Dragoman(config)
