"""mCLIP: triangle knowledge distillation (TriKD: Chen et al., ACL 2023; ghchen18/acl23_mclip at 01b618f).

Two light projectors bring the states of a multilingual text encoder and the vectors of a dual encoder
together. Captions meet their images, and source captions also their own vectors by the dual encoder.

R captions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dragoman.objectives.contract import Batch, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import LanguagesApart, Temperature, paired_contrast, softmax_contrast

LEAST = 0.01
"""Least temperature: the released scale of similarities is 100 at most."""
SCALES = {"intended": 1 / 0.07, "released": math.log(1 / 0.07)}


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """Three edges: image and caption, caption and anchor, and the image side that both share."""

    anchors_learn: ClassVar[bool] = True
    temperature: float = 0.07
    """Divisor of similarities of images and captions, at the start."""
    learn_temperature: bool = True
    source_weight: float = 1.0
    target_weight: float = 1.0
    edge_weight: float = 0.1
    """Weight of the contrast of captions and anchors."""
    edge_scale: Literal["intended", "released"] = "intended"
    """Factor of similarities in that: 1 / 0.07, or as released its logarithm, which makes a softmax almost
    flat."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; nothing else is computed."""
        return (*super().needs, "anchor")


class MCLIP(LanguagesApart):
    """Terms `source`, `target` and `edge`."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config
        self.weights = {**self.weights, "edge": config.edge_weight}
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature, least=LEAST)

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(views, batch)
        targets = [batch.rows(lang) for lang in range(1, len(batch.languages))]
        edges = [self._edge(views, batch, rows) for rows in targets if len(rows)]
        found = torch.stack(edges).mean() if edges else views.text.sum() * 0
        source = batch.rows(0)
        return {**terms, "edge": found + self._edge(views, batch, source) if len(source) else found}

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()

    def _edge(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        """Contrast captions of one language with their anchors; those of other languages have the image."""
        assert views.anchor is not None
        source_R1 = (batch.lang[rows] == 0).unsqueeze(1)
        belongs_RJ = torch.where(source_R1, views.anchor[rows], views.image[batch.item[rows]])
        scale = SCALES[self.config.edge_scale]
        return paired_contrast(views.text[rows], belongs_RJ, batch.item[rows], batch.weights(rows), 1 / scale)


def build(config: Config, width: int) -> MCLIP:
    """Return the objective; the width of the trunk does not matter to it."""
    return MCLIP(config)
