"""All languages of an image in a step, each in a contrast of its own."""

from __future__ import annotations

from dragoman.recipes import one_to_k
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Take 1-to-K's steps, but do not couple the languages."""
    return one_to_k.recipe(base).with_objective("one_to_k", form="per_language")
