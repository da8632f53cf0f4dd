"""The contract of recipes: every module of `dragoman/recipes` keeps it; a new one is found by its name.

A recipe brings no set-up: it is a function of the plain configuration.
"""

from __future__ import annotations

import re

import pytest

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.recipes import load_recipe, methods

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
def test_a_recipe_says_what_it_is_and_where_it_is_from(name: str) -> None:
    (found,) = (one for one in methods() if one.name == name)
    assert found.about, (
        f"src/dragoman/recipes/{name}.py begins with no docstring: say in a sentence what it is"
    )
    # One place for papers: the page and the command line show both beside each other.
    assert not re.search(r"arXiv|\b20\d\d\b", found.about), f"move the paper to PAPER: {found.about}"
    assert not found.paper or re.search(r"\b20\d\d\b|arXiv \d{4}\.\d{5}", found.paper), found.paper


@pytest.mark.parametrize("name", NAMES)
def test_dashes_may_stand_for_underscores(name: str) -> None:
    dashed = load_recipe(name.replace("_", "-"))
    assert dashed("en", ("pt",), "clip") == load_recipe(name)("en", ("pt",), "clip")


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"No recipe 'magic'. Known: .*nrccr, nrccr_released.*To add one"):
        load_recipe("magic")


AUTHORS = {
    # HuiGuanLab/nrccr at 5628a90: train_base.py, do_all_multi30k.sh, model.py, trainer_img.py.
    "nrccr_released": {
        **{"batch_size": 128, "epochs": 50, "patience": 11, "clip": 2.0, "validate_every": 1.0},
        **{"optimizer": "adam", "learning_rate": 1e-4, "pretrained_learning_rate": 1e-4, "beta": 0.999},
        **{"weight_decay": 0.0, "schedule": "nrccr", "opponent_learning_rate": 1e-3, "back_share": 1.0},
        **{"word_dropout": 0.0, "standardise": False, "synonyms": 0.0, "renderings": 0.0},
        **{"text.lowercase": True, "text.strip_accents": True, "text.strip_punctuation": False},
        **{"dual.joint": 1536, "dual.hidden": 768, "dual.heads": 8, "dual.key_width": 512},
        **{"dual.positions": 250, "dual.position_scale": 1.0, "dual.dropout": 0.1},
        **{"dual.head_dropout": 0.2, "dual.image_dropout": 0.0, "dual.image_head": "released"},
        **{"dual.pool": "all", "dual.teacher_pool": "cat", "dual.head_batch_norm": True},
        **{"dual.released_scale": True, "dual.released_padding": True, "dual.text_head": "attention"},
        **{"video.pooling": "nrccr", "video.hidden": 1024, "video.heads": 8, "video.key_width": 512},
        **{"loss.contrast": "triplet", "loss.margin": 0.2, "loss.reduction": "sum"},
        **{"loss.negatives": "diagonal", "loss.source_weight": 1.0, "loss.target_weight": 0.6},
        **{"loss.sim_loss": "ce", "loss.sim_weight": 0.4, "loss.temperature": 0.07},
        **{"loss.detach_visual_teacher": False, "loss.feat_loss": "smooth_l1", "loss.feat_weight": 0.1},
        **{"loss.feat_detach_teacher": False, "loss.cycle": True, "loss.cycle_contrast": "triplet"},
        **{"loss.cycle_weight": 0.5, "loss.adversary": "alternating", "loss.adversary_weight": 0.001},
        **{"loss.discriminator": "medium", "loss.discriminator_logits": 2},
    },
    # BUAADreamer/CCRK at 06449d2: configs/Pretrain_2m.yaml, optim.py, models/xvlm.py.
    "one_to_k_released": {
        **{"batch_size": 128, "unit": "caption", "epochs": 30, "select": "last", "clip": 1.0},
        **{"optimizer": "adamw", "learning_rate": 2e-4, "pretrained_learning_rate": 1e-4, "beta": 0.98},
        **{"weight_decay": 0.01, "schedule": "linear", "warmup": 0.03006, "word_dropout": 0.0},
        **{"text.lowercase": True, "text.strip_accents": False, "text.strip_punctuation": True},
        **{"text.max_words": 40, "dual.joint": 256, "dual.image_dropout": 0.0},
        **{"loss.form": "pooled_uniform", "loss.text_weight": "inverse_k", "loss.rows": "caption"},
        **{"loss.temperature": 0.07, "loss.learn_temperature": True, "loss.positive_language": "released"},
        **{"loss.mitm_weight": 1.0, "loss.cmlm_weight": 1.0, "loss.learned_sampling": True},
    },
}


@pytest.mark.parametrize("name", AUTHORS)
def test_a_preset_of_released_code_has_the_values_of_its_authors(name: str) -> None:
    found = load_recipe(name)("en", ("pt",), "clip")
    values = {}
    for setting in AUTHORS[name]:
        value: object = found
        for part in setting.split("."):
            value = getattr(value, part)
        values[setting] = value
    assert values == AUTHORS[name]
