"""1-to-K contrastive learning: an image against its captions in all languages at once."""

from __future__ import annotations

from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """Symmetric: text to image counts as much as image to text (`loss.text_weight`)."""
    return TrainConfig(
        recipe="one_to_k",
        source=source,
        targets=targets,
        features=features,
        objective="one_to_k",
        loss=objective_config("one_to_k"),
        incomplete="keep",
        unit="image",
        epochs=20,
        validate_every=2,
    )
