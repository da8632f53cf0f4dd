"""An English description of each photo, compressed by slots, enriches what is seen; any number of target
languages (needs `dragoman describe`)"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import linear
from dragoman.training.config import TrainConfig

PAPER = "LECCR: ACM MM 2024, arXiv 2409.19961"


def recipe(base: TrainConfig) -> TrainConfig:
    """Stand on kept vectors of captions and of the sentences of descriptions, by the same encoder."""
    config = replace(linear.recipe(base), descriptions="use", incomplete="keep")
    return config.with_objective("leccr")
