"""Captions in all languages learn where the text side of a public dual encoder puts the English ones; images
are never seen"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import mlp
from dragoman.training.config import TrainConfig

PAPER = "M-CLIP: Carlsson et al., LREC 2022; Reimers and Gurevych, EMNLP 2020, arXiv 2004.09813"


def recipe(base: TrainConfig) -> TrainConfig:
    """Stand on kept vectors of two encoders; those of the dual one are the set FEATURES_texts, made by
    `dragoman features CORPUS --texts --encoder CLIP --name FEATURES_texts`."""
    config = mlp.recipe(base)
    return replace(
        config,
        anchors=f"{base.features}_texts",
        dual=replace(config.dual, image_head="none"),
        incomplete="keep",
    ).with_objective("teacher")
