"""1-to-1 on the source captions alone: what training without translations brings."""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Leave the targets out of every step; they are validated on, and their words are in the vocabulary."""
    return replace(base.with_objective("one_to_k"), incomplete="keep", draw=0)
