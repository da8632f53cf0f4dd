"""Hardest-negative triplets on source captions and their machine translations."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """VSE++ with translate-train data."""
    return TrainConfig(
        recipe="triplet",
        source=source,
        targets=targets,
        features=features,
        objective="triplet",
        loss=objective_config("triplet"),
    )
