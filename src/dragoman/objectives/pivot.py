"""Pivot: images against source captions, and source captions against their translations, but no image against
a translation (the cross-lingual baseline of 1-to-K, arXiv 2406.18254)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives._bridge import bridge
from dragoman.objectives._contrast import Temperature
from dragoman.objectives._coupling import softmax_contrast
from dragoman.objectives._views import Batch, Objective, Views

NEEDS = ("image", "text")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Two contrasts with a temperature each."""

    reads_source: ClassVar[bool] = True
    """Source captions must be in a step, also where they cannot move."""
    temperature: float = 0.07
    learn_temperature: bool = True
    source_weight: float = 1.0
    bridge_weight: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The views that this configuration reads."""
        return NEEDS

    def __post_init__(self) -> None:
        if not 0.001 <= self.temperature <= 0.5:
            raise UserError(f"temperature must lie in [0.001, 0.5], got {self.temperature}")


class Pivot(Objective):
    """Terms `source` (images and source captions) and `bridge` (source captions and translations)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.bridge_temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.weights = {"source": config.source_weight, "bridge": config.bridge_weight}

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        source = softmax_contrast(views, batch, batch.rows(0), self.temperature())
        terms = {"source": source.symmetric()}
        found = bridge(views, batch, self.bridge_temperature())
        return terms if found is None else {**terms, "bridge": found.symmetric()}


def build(config: Config, width: int) -> Pivot:
    """The objective as a callable of views and batch; `width` is of no use here."""
    return Pivot(config)
