"""A linear map from a frozen sentence encoder to where a public dual encoder puts the English captions, in
closed form; no translation and no image is learned from"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import linear
from dragoman.training.config import TrainConfig

PAPER = "M2M, arXiv 2601.10096"


def recipe(base: TrainConfig) -> TrainConfig:
    """Find the map by least squares; with `solve=none` by the steps, the loss and the rates of M2M."""
    config = linear.recipe(base)
    config = replace(
        config,
        anchors=f"{base.features}_texts",
        dual=replace(config.dual, image_head="none", dropout=0.0),
        # The source captions alone; targets are what validation reads.
        draw=0,
        incomplete="keep",
        batch_size=64,
        epochs=50,
        steps=None,
        learning_rate=3e-4,
        weight_decay=0.01,
        schedule="linear",
        warmup=0.002,
        validate_every=1.0,
    ).with_objective("teacher", distance="mse", teach_weight=48.0, structure_weight=1.0)
    return replace(config, solve="ridge")
