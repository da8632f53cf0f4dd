"""NRCCR as its authors' code computes it, for comparison."""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Take what docs/training.md lists: sums beside means, padding in the pooling, diagonal negatives,
    BatchNorm heads, lower-cased text."""
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
        text=SmallTextConfig(lowercase=True),
        dual=DualConfig(pool="all", released_scale=True, head_batch_norm=True, head_dropout=0.2),
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="nrccr",
    )
