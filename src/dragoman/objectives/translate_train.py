"""Translate-train: contrast images with source captions and with their machine translations.

The baseline that noise-robust methods must beat. P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives._contrast import Temperature
from dragoman.objectives._coupling import softmax_contrast
from dragoman.objectives._pairing import ImageContrast
from dragoman.objectives._views import Batch, Views

NEEDS = ("image", "text")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Symmetric multi-positive InfoNCE inside each language."""

    temperature: float = 0.07
    learn_temperature: bool = True
    source_weight: float = 1.0
    target_weight: float = 1.0
    """0 trains on the source language alone."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The views that this configuration reads."""
        return NEEDS

    def __post_init__(self) -> None:
        if not 0.001 <= self.temperature <= 0.5:
            raise UserError(f"temperature must lie in [0.001, 0.5], got {self.temperature}")


class TranslateTrain(ImageContrast):
    """Terms `source` and `target`, each the mean of both directions."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()


def build(config: Config, width: int) -> TranslateTrain:
    """The objective as a callable of views and batch; `width` is of no use here."""
    return TranslateTrain(config)
