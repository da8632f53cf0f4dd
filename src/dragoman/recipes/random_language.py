"""1-to-1: each image with one caption, in any of the languages."""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import one_to_k
from dragoman.training.config import TrainConfig

PAPER = "a baseline of 1-to-K: Nie et al., KDD 2024, arXiv 2406.18254"


def recipe(base: TrainConfig) -> TrainConfig:
    """Draw one language for each image of 1-to-K, the source like any other."""
    # An epoch holds a fraction of the captions of one of 1-to-K, so it takes more of them.
    config = one_to_k.recipe(base)
    return replace(config, draw=1, always_source=False, epochs=100, validate_every=10)
