"""Unpaired captions and images around English: what English captions find in memories of both, by two frozen
encoders, is brought together"""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.frozen import FrozenTextConfig
from dragoman.recipes import linear
from dragoman.training.config import TrainConfig

PAPER = "uCLIP: arXiv 2511.13036"


def recipe(base: TrainConfig) -> TrainConfig:
    """Put a projector on the vectors `use` of texts, and another on those of the dual encoder, of images and
    of English captions (the set FEATURES_texts)."""
    return replace(
        linear.recipe(base),
        anchors=f"{base.features}_texts",
        # The half of a vector in which translations lie beside one another, so that they can be found.
        text=FrozenTextConfig(features="use", own=True),
        dual=DualConfig(
            text_head="projector", image_head="projector", image_unit=True, dropout=0.0, image_dropout=0.0
        ),
        # The source captions alone; those of the targets are in the memory.
        draw=0,
        incomplete="keep",
        standardise=False,
    ).with_objective("uclip")
