"""A linear map on a frozen sentence encoder, the least that others must beat; without a target language it
learns from the source captions alone."""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.frozen import FrozenTextConfig
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Take translate-train on kept vectors: `dragoman features CORPUS --texts --encoder use`."""
    return replace(
        base,
        text=FrozenTextConfig(features="use"),
        dual=DualConfig(text_head="linear", image_dropout=0.3),
        # A text without some of its words has no vector.
        word_dropout=0.0,
        batch_size=512,
        learning_rate=1e-3,
        weight_decay=0.05,
        steps=600,
        validate_every=2,
        # Of a small corpus an epoch is one step, and ten validations are over soon.
        patience=1000,
    )
