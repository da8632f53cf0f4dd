"""NRCCR as its authors' code computes it, for comparison only (docs/training.md lists the differences)."""

from __future__ import annotations

from dragoman.models.dual import DualConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig, objective_config


def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
    """Sums beside means, padding in the pooling, diagonal negatives, BatchNorm heads, lower-cased text."""
    return TrainConfig(
        recipe="nrccr_released",
        source=source,
        targets=targets,
        features=features,
        objective="nrccr",
        loss=objective_config(
            "nrccr",
            contrast="triplet",
            reduction="sum",
            negatives="diagonal",
            detach_visual_teacher=False,
            feat_loss="smooth_l1",
            feat_detach_teacher=False,
            discriminator_logits=2,
        ),
        text=SmallTextConfig(lowercase=True),
        dual=DualConfig(pool="all", released_scale=True, head_batch_norm=True, head_dropout=0.2),
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="nrccr",
    )
