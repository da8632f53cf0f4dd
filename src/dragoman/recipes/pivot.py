"""Images against source captions, source captions against one translation."""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig

PAPER = "a baseline of 1-to-K: Nie et al., KDD 2024, arXiv 2406.18254"


def recipe(base: TrainConfig) -> TrainConfig:
    """Draw one other language for each source caption."""
    return replace(base.with_objective("pivot"), incomplete="keep", draw=1)
