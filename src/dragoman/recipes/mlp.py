"""`linear` with two layers in the place of one."""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import linear
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Put a ReLU and a wider layer between the frozen vector and the joint space."""
    config = linear.recipe(base)
    return replace(config, dual=replace(config.dual, text_head="mlp"), steps=800)
