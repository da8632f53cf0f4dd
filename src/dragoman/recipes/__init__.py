"""Recipes, found by their names: functions that change the plain configuration of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from dragoman import plugins
from dragoman.languages import comparable
from dragoman.models.sentences import use
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


@dataclass(frozen=True, kw_only=True)
class Method:
    """A recipe as its file tells of it."""

    name: str
    about: str
    """The first paragraph of the file, on one line, without a stop."""
    paper: str
    """`PAPER` of the file; empty where it has none."""


def methods() -> list[Method]:
    """Describe all recipes, by their names."""
    found = []
    for name in plugins.names(__name__):
        module = plugins.load(__name__, name, "recipe")
        first = (inspect.getdoc(module) or "").partition("\n\n")[0]
        about = " ".join(first.split()).removesuffix(".")
        found.append(Method(name=name, about=about, paper=getattr(module, "PAPER", "")))
    return found


def default_recipe(languages: Sequence[str]) -> str:
    """Name the recipe to take where none is named: `glossed` where the package of the sentence encoder `use`
    is installed and was trained on all of these languages, else `nrccr`."""
    # A region is a part of the language: pt-BR is read as pt.
    known = all(comparable(lang).partition("-")[0] in use.LANGUAGES for lang in languages)
    return "glossed" if known and find_spec(use.MODULE) is not None else "nrccr"
