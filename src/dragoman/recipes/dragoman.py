"""The house recipe for many languages: words share pieces by meaning, captions are weighed by trust (needs
`dragoman trust`)."""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig, TrustUse


def recipe(base: TrainConfig) -> TrainConfig:
    """Take what measured best on many languages at once (`benchmarks/many_languages`)."""
    return replace(
        # Ties to the source captions are in the objective, and off: they cost more captions than they are
        # worth (EXPERIMENTS.md).
        base.with_objective("dragoman"),
        # Words of other languages are read by the pieces of the source words that they stand for as well,
        # which brings most of the gain.
        text=SmallTextConfig(links=2),
        incomplete="keep",
        trust=TrustUse(weight=True),
        # One language an image and step leaves most of a text budget to different images; images without
        # captions make up for the small step.
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
