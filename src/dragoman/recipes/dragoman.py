"""The house recipe: many languages whose words share pieces by meaning, weighed by trust."""

from __future__ import annotations

from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig, objective_config
from dragoman.training.trust_use import TrustUse


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """What measured best on many languages at once (`benchmarks/many_languages`); needs `dragoman trust`.

    Words of other languages are read by the pieces of the source words that they stand for as well, which
    brings most of the gain. One language an image and step leaves most of a text budget to different images;
    images without captions make up for the small step. Ties to the source captions are in the objective, and
    off: they cost more captions than they are worth (EXPERIMENTS.md). Lexicons are read where there are some.
    """
    return TrainConfig(
        recipe="dragoman",
        source=source,
        targets=targets,
        features=features,
        objective="dragoman",
        loss=objective_config("dragoman"),
        text=SmallTextConfig(links=2),
        incomplete="keep",
        trust=TrustUse(weight=True),
        unit="image",
        draw=1,
        always_source=False,
        extra_images=1000,
        captions_per_step=192,
        synonyms=0.3,
        renderings=0.3,
        lexicons=("*",),
        epochs=100,
        validate_every=10,
    )
