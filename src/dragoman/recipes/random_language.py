"""1-to-1 with a random language: each image meets one caption, in any of the languages."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """The cross-modal baseline of 1-to-K; the source language is drawn like any other."""
    return TrainConfig(
        recipe="random_language",
        source=source,
        targets=targets,
        features=features,
        objective="one_to_k",
        loss=objective_config("one_to_k"),
        incomplete="keep",
        unit="image",
        draw=1,
        always_source=False,
        epochs=100,
        validate_every=10,
    )
