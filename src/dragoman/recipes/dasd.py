"""Adapters for each language on CLIP's frozen text half; images and English stay where CLIP puts them"""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.adapters import AdaptersTextConfig
from dragoman.training.config import TrainConfig

PAPER = "DASD: AAAI 2025, arXiv 2412.13510"


def recipe(base: TrainConfig) -> TrainConfig:
    """Take the rates of the paper, and one cosine over both of its stages; `--set text.path=FOLDER` names the
    CLIP that made the features."""
    return replace(
        base,
        text=AdaptersTextConfig(path="openai/clip-vit-base-patch32", own=True, max_length=77),
        dual=DualConfig(text_head="none", image_head="none"),
        incomplete="keep",
        # The vector of a caption is that of all its words.
        word_dropout=0.0,
        # All that learns lies in the text encoder.
        pretrained_learning_rate=2e-4,
        beta=0.98,
        weight_decay=0.2,
        warmup=0.1,
        opponent_learning_rate=1e-4,
    ).with_objective("dasd")
