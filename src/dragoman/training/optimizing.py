"""Optimizers and learning-rate schedules; schedules are pure functions of the progress."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dragoman.errors import UserError
from dragoman.training.checkpoint import Progress
from dragoman.training.config import TrainConfig


def make_optimizer(trained: Sequence[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    """One optimizer over the trained parameters; only matrices decay."""
    if not trained:
        raise UserError("Every parameter is frozen, so there is nothing to train: --set text.layers=last:4")
    groups = [
        {"params": [weight for weight in trained if weight.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def rate_factor(config: TrainConfig, progress: Progress, steps: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied with in the coming step.

    `cosine` falls to zero over `steps` after a linear warm-up. `nrccr` (released code) is 0.99 per epoch
    times `progress.rate`, which halves when validation stalls.
    """
    if config.schedule == "nrccr":
        return float(progress.rate * 0.99 ** (progress.step // steps_per_epoch))
    warmup = max(1, round(config.warmup * steps))
    rising = min(1.0, (progress.step + 1) / warmup)
    return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, progress.step / steps)))
