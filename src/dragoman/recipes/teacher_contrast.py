"""`teacher`, and in the last fifth of the run a contrast with the images beside it, which stay as they are"""

from __future__ import annotations

from dragoman.recipes import teacher
from dragoman.training.config import TrainConfig


def recipe(base: TrainConfig) -> TrainConfig:
    """Let the contrast join where the cosine has brought the learning rate to a tenth."""
    # Text and vision vectors are CLIP's, and so is the temperature.
    return teacher.recipe(base).with_objective("teacher", contrast_from=0.8, temperature=0.01)
