"""An image against its captions in all languages at once"""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig

PAPER = "1-to-K: Nie et al., KDD 2024, arXiv 2406.18254"


def recipe(base: TrainConfig) -> TrainConfig:
    """Let a step hold images, each with a caption in every language that it has."""
    config = base.with_objective("one_to_k")
    return replace(config, incomplete="keep", unit="image", epochs=20, validate_every=2)
