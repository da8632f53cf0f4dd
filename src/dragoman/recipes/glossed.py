"""The house recipe where a frozen sentence encoder knows the languages: its vector of a text, and beside it
the words, read as the source words nearest to them; with or without translations."""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.frozen import FrozenTextConfig
from dragoman.models.text.glosses import GlossedTextConfig
from dragoman.recipes import linear
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Take what measured best on the vectors `use` (`benchmarks/pretrained`)."""
    # A temperature that is learned falls to .04, and fits the photos of the training alone.
    config = linear.recipe(base).with_objective("translate_train", learn_temperature=False)
    return replace(
        config,
        text=GlossedTextConfig(features="use"),
        # The mean of the token states is another thing in each language: it serves those that are learned.
        sentence=FrozenTextConfig(features="use", own=not config.targets),
        dual=DualConfig(joint=256, text_head="linear", image_dropout=0.3, hubness=0.5),
        incomplete="keep",
        weight_decay=0.2,
        # Each translated caption is new to the head, where English ones are soon known by heart.
        steps=1000 if config.targets else 500,
    )
