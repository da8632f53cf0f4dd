"""Hardest-negative triplet loss on source captions and their machine translations (VSE++)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import LanguagesApart
from dragoman.objectives.losses.triplet import (
    Reduction,
    confident_margin,
    hardest_triplet,
    same_item,
    soft_triplet,
)


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """`soft` replaces the hardest negative by a log-sum-exp over all (triplet alignment loss)."""

    margin: float = 0.2
    soft: bool = False
    temperature: float = 0.015
    """Divisor of similarities in the log-sum-exp."""
    reduction: Reduction = "mean"
    negatives: Literal["by_visual_id", "diagonal"] = "by_visual_id"
    source_weight: float = 1.0
    target_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.margin > 0:
            raise UserError(f"margin must be above 0, got {self.margin}")


class Triplet(LanguagesApart):
    """Terms `source` and `target`; several target languages are averaged."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        config, item = self.config, batch.item[rows]
        similarity_PP = views.image[item] @ views.text[rows].T
        same = same_item(item, config.negatives)
        margin = confident_margin(config.margin, batch.confidences(rows))
        weight = batch.weights(rows)
        if config.soft:
            return soft_triplet(similarity_PP, same, margin, config.temperature, config.reduction, weight)
        return hardest_triplet(similarity_PP, same, margin, config.reduction, weight)


def build(config: Config, width: int) -> Triplet:
    """Return the objective; the width of the trunk does not matter to it."""
    return Triplet(config)
