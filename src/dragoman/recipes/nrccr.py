"""NRCCR in its clean form, for one target language with back-translations."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """Teacher, cycle and adversary on top of translate-train."""
    return TrainConfig(
        recipe="nrccr",
        source=source,
        targets=targets,
        features=features,
        objective="nrccr",
        loss=objective_config("nrccr"),
    )
