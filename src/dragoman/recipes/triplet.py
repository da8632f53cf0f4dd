"""The data of `translate_train` with hardest-negative triplets"""

from __future__ import annotations

from dragoman.training.config import TrainConfig

PAPER = "VSE++: Faghri et al., BMVC 2018, arXiv 1707.05612"


def recipe(base: TrainConfig) -> TrainConfig:
    """Take triplets in place of InfoNCE."""
    return base.with_objective("triplet")
