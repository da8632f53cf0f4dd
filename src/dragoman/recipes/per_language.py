"""Per-language K: an image meets its captions in all languages, each in a contrast of its own."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """All languages of an image in one step, but uncoupled."""
    return TrainConfig(
        recipe="per_language",
        source=source,
        targets=targets,
        features=features,
        objective="one_to_k",
        loss=objective_config("one_to_k", form="per_language"),
        incomplete="keep",
        unit="image",
        epochs=20,
        validate_every=2,
    )
