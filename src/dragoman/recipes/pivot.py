"""Pivot training: images learn source captions, and source captions their translations."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """The cross-lingual baseline of 1-to-K; one other language is drawn for each source caption."""
    return TrainConfig(
        recipe="pivot",
        source=source,
        targets=targets,
        features=features,
        objective="pivot",
        loss=objective_config("pivot"),
        incomplete="keep",
        draw=1,
    )
