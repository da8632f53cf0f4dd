"""The contract of recipes: every module of `dragoman/recipes` keeps it; a new one is found by its name.

A recipe brings no set-up: it is a function of the plain configuration.
"""

from __future__ import annotations

import pytest

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.recipes import load_recipe

NAMES = plugins.names("dragoman.recipes")


def test_the_recipes_of_the_documentation_are_there() -> None:
    assert {"translate_train", "triplet", "nrccr", "nrccr_released"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_complete_configuration_that_knows_its_name(name: str) -> None:
    config = load_recipe(name)("en", ("pt",), "clip")
    assert (config.recipe, config.source, config.targets, config.features) == (name, "en", ("pt",), "clip")
    # No human caption of the target language is used unless it is asked for.
    assert (config.target_captions, config.validation) == ("mt", "mt")


@pytest.mark.parametrize("name", NAMES)
def test_dashes_may_stand_for_underscores(name: str) -> None:
    dashed = load_recipe(name.replace("_", "-"))
    assert dashed("en", ("pt",), "clip") == load_recipe(name)("en", ("pt",), "clip")


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"No recipe 'magic'. Known: .*nrccr, nrccr_released.*To add one"):
        load_recipe("magic")
