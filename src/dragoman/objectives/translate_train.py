"""Translate-train: contrast images with source captions and with their machine translations.

The baseline that noise-robust methods must beat.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dragoman.objectives.contract import Batch, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import LanguagesApart, Temperature, softmax_contrast


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """Symmetric multi-positive InfoNCE inside each language."""

    temperature: float = 0.07
    learn_temperature: bool = True
    source_weight: float = 1.0
    target_weight: float = 1.0
    """0 trains on the source language alone."""


class TranslateTrain(LanguagesApart):
    """Terms `source` and `target`, each the mean of both directions."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()


def build(config: Config, width: int) -> TranslateTrain:
    """Return the objective; the width of the trunk does not matter to it."""
    return TranslateTrain(config)
