"""Translate-train: multi-positive InfoNCE on source captions and their machine translations."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """The baseline; with no targets it trains on the source alone."""
    return TrainConfig(
        recipe="translate_train",
        source=source,
        targets=targets,
        features=features,
        objective="translate_train",
        loss=objective_config("translate_train"),
    )
