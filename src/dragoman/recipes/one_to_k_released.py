"""1-to-K as its authors' code computes it (pre-training), for comparison."""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Divide text to image by K, let an image be its own negative, take their optimizer, keep the last
    model."""
    config = base.with_objective("one_to_k", text_weight="inverse_k", rows="caption")
    return replace(
        config,
        incomplete="keep",
        warmup=0.03,
        schedule="linear",
        beta=0.98,
        clip=1.0,
        learning_rate=1e-4,
        select="last",
    )
