"""uCLIP: unpaired texts and images around English (arXiv 2511.13036, code dinyudin203/uCLIP at 7580e51).

A projector reads the vectors of a sentence encoder, another those of a dual encoder, of texts and images
alike. An English caption is read by both, and so is what it finds among captions of other languages, and
among images.

R captions, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dragoman.objectives.contract import Batch, MemoryConfig, Objective, Views
from dragoman.objectives.losses.contrast import paired_contrast
from dragoman.objectives.losses.transport import weighted_mean


@dataclass(frozen=True, kw_only=True)
class Config(MemoryConfig):
    """The released form."""

    temperature: float = 0.01
    """Divisor of similarities, which does not learn."""
    anchored_weight: float = 1.0
    """Weight of the contrast of captions, by the sentence encoder and by the dual encoder."""
    retrieved_weight: float = 1.0
    """Weight of the contrast of the texts and the images that captions find."""
    near_weight: float = 0.1
    """Weight of half the distances between captions and what they find, on both sides."""


class UCLIP(Objective):
    """Terms `anchored`, `retrieved` and `near`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.weights = {
            "anchored": config.anchored_weight,
            "retrieved": config.retrieved_weight,
            "near": config.near_weight,
        }

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        assert views.anchor is not None and views.retrieved is not None
        rows, temperature = batch.captions(), self.config.temperature
        item_R, weight_R = batch.item[rows], batch.weights(rows)
        text_RJ, anchor_RJ = views.text[rows], views.anchor[rows]
        found_RJ, image_RJ = views.retrieved.text[rows], views.retrieved.image[rows]
        # Its gradient is a number at a distance of 0 too, where that of a norm is none.
        apart_R = F.pairwise_distance(found_RJ, text_RJ) + F.pairwise_distance(anchor_RJ, image_RJ)
        return {
            "anchored": paired_contrast(text_RJ, anchor_RJ, item_R, weight_R, temperature),
            "retrieved": paired_contrast(found_RJ, image_RJ, item_R, weight_R, temperature),
            "near": weighted_mean(apart_R / 2, weight_R),
        }


def build(config: Config, width: int) -> UCLIP:
    """Return the objective; the width of the trunk does not matter to it."""
    return UCLIP(config)
