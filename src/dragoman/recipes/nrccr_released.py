"""NRCCR as its authors' code computes it, for comparison.

docs/released.md says what is not theirs.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.temporal import VideoConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig

PAPER = "NRCCR: Wang et al., ACM MM 2022, arXiv 2208.12526; code HuiGuanLab/nrccr at 5628a90"


def recipe(base: TrainConfig) -> TrainConfig:
    """Take their losses, shapes, texts, optimizer and length: sums beside means, padding in attention and
    pooling, diagonal negatives, BatchNorm heads, lower-cased text without accents."""
    config = base.with_objective(
        "nrccr",
        contrast="triplet",
        reduction="sum",
        negatives="diagonal",
        detach_visual_teacher=False,
        feat_loss="smooth_l1",
        feat_detach_teacher=False,
        discriminator_logits=2,
    )
    return replace(
        config,
        text=SmallTextConfig(lowercase=True, strip_accents=True),
        dual=DualConfig(
            joint=1536,
            hidden=768,
            heads=8,
            key_width=512,
            position_scale=1.0,
            head_dropout=0.2,
            image_head="released",
            image_dropout=0.0,
            pool="all",
            released_scale=True,
            released_padding=True,
            head_batch_norm=True,
        ),
        video=VideoConfig(hidden=1024, key_width=512),
        standardise=False,
        optimizer="adam",
        learning_rate=1e-4,
        pretrained_learning_rate=1e-4,
        weight_decay=0.0,
        schedule="nrccr",
        epochs=50,
        # Theirs ends with the eleventh epoch in a row that is no better.
        patience=11,
        word_dropout=0.0,
    )
