"""Recipes, found by their names: functions that change the plain configuration of a run."""

from __future__ import annotations

from collections.abc import Callable

from dragoman import plugins
from dragoman.training.config import TrainConfig, objective_config

Recipe = Callable[[str, tuple[str, ...], str], TrainConfig]


def load_recipe(name: str) -> Recipe:
    """Return `recipe(source, targets, features)` of `recipes/<name>.py`; dashes may stand for underscores.

    The file says what it changes: `recipe(base)` gets the configuration of translate-train, with the names of
    recipe, languages and feature set filled in. Raises UserError that lists the known recipes.
    """
    name = name.replace("-", "_")
    change: Callable[[TrainConfig], TrainConfig] = plugins.load(__name__, name, "recipe").recipe

    def recipe(source: str, targets: tuple[str, ...], features: str) -> TrainConfig:
        plain = "translate_train"
        return change(
            TrainConfig(
                recipe=name,
                source=source,
                targets=targets,
                features=features,
                objective=plain,
                loss=objective_config(plain),
            )
        )

    return recipe
