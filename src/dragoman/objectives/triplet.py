"""Hardest-negative triplet loss on source captions and their machine translations (VSE++)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives._pairing import ImageContrast
from dragoman.objectives._triplet import (
    Reduction,
    confident_margin,
    hardest_triplet,
    same_item,
    soft_triplet,
)
from dragoman.objectives._views import Batch, Views

NEEDS = ("image", "text")


@dataclass(frozen=True, kw_only=True)
class Config:
    """`soft` replaces the hardest negative by a log-sum-exp over all (triplet alignment loss)."""

    margin: float = 0.2
    soft: bool = False
    temperature: float = 0.015
    """Of the log-sum-exp."""
    reduction: Reduction = "mean"
    negatives: Literal["by_visual_id", "diagonal"] = "by_visual_id"
    source_weight: float = 1.0
    target_weight: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The views that this configuration reads."""
        return NEEDS

    def __post_init__(self) -> None:
        if not self.margin > 0 or not self.temperature > 0:
            raise UserError(f"margin {self.margin} and temperature {self.temperature} must be above 0")


class Triplet(ImageContrast):
    """Terms `source` and `target`; several target languages are averaged."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        config, item = self.config, batch.item[rows]
        similarity_PP = views.image[item] @ views.text[rows].T
        same = same_item(item, config.negatives)
        confidence = None if batch.confidence is None else batch.confidence[rows]
        margin, weight = confident_margin(config.margin, confidence), batch.weights(rows)
        if config.soft:
            return soft_triplet(similarity_PP, same, margin, config.temperature, config.reduction, weight)
        return hardest_triplet(similarity_PP, same, margin, config.reduction, weight)


def build(config: Config, width: int) -> Triplet:
    """The objective as a callable of views and batch; `width` is of no use here."""
    return Triplet(config)
