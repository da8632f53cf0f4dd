"""The house recipe: many languages, coupled through their source captions, weighed by trust."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """What measured best on many languages at once (`benchmarks/many_languages`); needs `dragoman trust`."""
    return TrainConfig(
        recipe="dragoman",
        source=source,
        targets=targets,
        features=features,
        objective="dragoman",
        loss=objective_config("dragoman", bridge_weight=0.5, distil_weight=0.5),
        incomplete="keep",
        unit="image",
        draw=2,
    )
