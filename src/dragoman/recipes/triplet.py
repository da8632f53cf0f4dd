"""The data of `translate_train` with hardest-negative triplets (VSE++)."""

from __future__ import annotations

from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Take triplets in place of InfoNCE."""
    return base.with_objective("triplet")
