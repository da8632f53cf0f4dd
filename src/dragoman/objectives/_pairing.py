"""Objectives that contrast images with source captions and with those of each target language, apart."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from dragoman.objectives._views import Batch, Objective, Views


class ImageContrast(Objective):
    """Terms `source` and `target`; several target languages are averaged, and absent ones left out."""

    def __init__(self, source_weight: float, target_weight: float) -> None:
        super().__init__()
        self.weights = {"source": source_weight, "target": target_weight}

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        source = batch.rows(0)
        terms = {"source": self.contrast(views, batch, source)} if len(source) else {}
        targets = [lang for lang in range(1, len(batch.languages)) if len(batch.rows(lang))]
        if targets and self.weights["target"]:
            losses = [self.contrast(views, batch, batch.rows(lang)) for lang in targets]
            terms["target"] = sum(losses[1:], losses[0]) / len(losses)
        return terms

    @abstractmethod
    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        """The loss of the images against some texts, which are of one language."""
