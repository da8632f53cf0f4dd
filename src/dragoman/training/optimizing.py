"""Optimizers and learning-rate schedules; schedules are pure functions of the progress."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dragoman.errors import UserError
from dragoman.training.checkpoint import Progress
from dragoman.training.config import TrainConfig


def make_optimizer(
    trained: Sequence[Tensor], pretrained: Iterable[Tensor], config: TrainConfig
) -> torch.optim.Optimizer:
    """One optimizer over the trained parameters; only matrices decay, and `pretrained` ones learn slowly."""
    if not trained:
        raise UserError("Every parameter is frozen, so there is nothing to train: --set text.layers=last:4")
    known = set(map(id, pretrained))
    groups = [
        {
            "params": [w for w in trained if (w.dim() > 1) == matrices and (id(w) in known) == old],
            "weight_decay": config.weight_decay if matrices else 0.0,
            "full_rate": config.pretrained_learning_rate if old else config.learning_rate,
        }
        for matrices in (True, False)
        for old in (False, True)
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    given = [group for group in groups if group["params"]]
    return kind(given, lr=config.learning_rate, betas=(0.9, config.beta), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give each group its full learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


def rate_factor(config: TrainConfig, progress: Progress, steps: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied with in the coming step.

    `cosine` and `linear` fall to zero over `steps` after a linear warm-up. `nrccr` (released code) is 0.99
    per epoch times `progress.rate`, which halves when validation stalls.
    """
    if config.schedule == "nrccr":
        return float(progress.rate * 0.99 ** (progress.step // steps_per_epoch))
    warmup = max(1, round(config.warmup * steps))
    rising = min(1.0, (progress.step + 1) / warmup)
    done = min(1.0, progress.step / steps)
    return rising * (1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))
