"""Recipes: a file is a function that returns the complete configuration of a run."""

from __future__ import annotations

from collections.abc import Callable

from dragoman import plugins
from dragoman.training.config import TrainConfig

Recipe = Callable[[str, tuple[str, ...], str], TrainConfig]


def load_recipe(name: str) -> Recipe:
    """`recipe(source, targets, features)` of `recipes/<name>.py`; dashes may stand for underscores."""
    recipe: Recipe = plugins.load(__name__, name.replace("-", "_"), "recipe").recipe
    return recipe
