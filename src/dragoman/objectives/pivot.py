"""Pivot: images against source captions, and source captions against their translations, but no image against
a translation (the cross-lingual baseline of 1-to-K, arXiv 2406.18254)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from dragoman.objectives.contract import Batch, Objective, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import Temperature, bridge, softmax_contrast


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """Two contrasts with a temperature each."""

    reads_source: ClassVar[bool] = True
    temperature: float = 0.07
    learn_temperature: bool = True
    source_weight: float = 1.0
    bridge_weight: float = 1.0


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
    """Return the objective; the width of the trunk does not matter to it."""
    return Pivot(config)
