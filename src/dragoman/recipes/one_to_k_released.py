"""1-to-K as its authors' code computes it (pre-training), for comparison."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """Text to image over K, an image among its own negatives, their optimizer; keeps the last model."""
    return TrainConfig(
        recipe="one_to_k_released",
        source=source,
        targets=targets,
        features=features,
        objective="one_to_k",
        loss=objective_config("one_to_k", text_weight="inverse_k", rows="caption"),
        incomplete="keep",
        warmup=0.03,
        schedule="linear",
        beta=0.98,
        clip=1.0,
        learning_rate=1e-4,
        select="last",
    )
