"""`leccr` with what its authors' code computes otherwise than it is written, for comparison.

docs/released.md says what is not theirs.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import leccr
from dragoman.training.config import TrainConfig

PAPER = "LECCR: ACM MM 2024, arXiv 2409.19961; code LiJiaBei-7/leccr at 6741e65"


def recipe(base: TrainConfig) -> TrainConfig:
    """Begin with slots that are all alike, add matrices of two orientations, soften by scores without a
    temperature, reward opposite slots, and scale the agreement along the slots."""
    config = leccr.recipe(base).with_objective(
        "leccr", orientation="released", softness=1.0, diversity="signed", agreement="released"
    )
    return replace(config, slots=replace(config.slots, query_scale=0.0))
