"""Images against source captions, source captions against one translation; the cross-lingual baseline of
1-to-K."""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Draw one other language for each source caption."""
    return replace(base.with_objective("pivot"), incomplete="keep", draw=1)
