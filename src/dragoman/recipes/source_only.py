"""1-to-1 on the source captions alone (English, as a rule): what training without translations brings."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """Targets are validated on, and their words are in the vocabulary, but no step holds them."""
    return TrainConfig(
        recipe="source_only",
        source=source,
        targets=targets,
        features=features,
        objective="one_to_k",
        loss=objective_config("one_to_k"),
        incomplete="keep",
        draw=0,
    )
