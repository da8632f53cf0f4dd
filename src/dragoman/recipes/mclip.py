"""Two projectors, of a multilingual text encoder and of a public dual encoder, learn that caption, image and
English vector belong together"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import mlp
from dragoman.training.config import TrainConfig

PAPER = "mCLIP: Chen et al., ACL 2023"


def recipe(base: TrainConfig) -> TrainConfig:
    """Read texts by an MLP on `use`; one matrix reads images and English captions, of the set
    FEATURES_texts."""
    config = mlp.recipe(base)
    return replace(
        config,
        anchors=f"{base.features}_texts",
        dual=replace(config.dual, joint=768, image_head="matrix", image_dropout=0.0),
        incomplete="keep",
        standardise=False,
    ).with_objective("mclip")
