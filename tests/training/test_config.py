from __future__ import annotations

import json

import pytest
from training_world import tiny

from dragoman.errors import UserError
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.recipes import load_recipe
from dragoman.training import TrainConfig, objective_config


def base(recipe: str = "nrccr", targets: tuple[str, ...] = ("pt",)) -> TrainConfig:
    return load_recipe(recipe)("en", targets, "toy")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "3", 3),
        ("steps", "12", 12),
        ("steps", "none", None),
        ("learning_rate", "2e-4", 2e-4),
        ("engines", "apertium:eng-spa|es-pt,zh=*", ("apertium:eng-spa|es-pt", "zh=*")),
        ("draw", "None", None),
        ("trust.weight", "true", True),
        ("trust.floor", "0.2", 0.2),
        ("targets", "gl", ("gl",)),
        ("targets", " gl ,", ("gl",)),
        ("precision", "bf16", "bf16"),
        ("loss.cycle", "false", False),
        ("loss.cycle", "True", True),
        ("loss.sim_weight", "0", 0.0),
        ("loss.sim_loss", "off", "off"),
        ("text.width", "32", 32),
        ("text.lowercase", "true", True),
        ("dual.pool", "all", "all"),
    ],
)
def test_a_setting_is_read_by_the_type_of_its_field(name: str, text: str, value: object) -> None:
    found: object = base().with_settings({name: text})
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("epoch", "3", "No setting 'epoch'. Known here: always_source, anchors, back_share"),
        ("loss.margn", "3", "No setting 'loss.margn'. Known here: adversary, adversary_weight"),
        ("epochs", "three", "epochs must be a whole number, got 'three'"),
        ("epochs", "1.5", "epochs must be a whole number, got '1.5'"),
        ("epochs", "0", "epochs must be at least 1, got 0"),
        ("learning_rate", "fast", "learning_rate must be a number, got 'fast'"),
        ("learning_rate", "nan", "learning_rate must be a number, got 'nan'"),
        ("learning_rate", "-1", "learning_rate must be above 0, got -1.0"),
        ("validate_every", "inf", "validate_every must be a number, got 'inf'"),
        ("clip", "-2", "clip must be 0 or more, got -2.0"),
        ("seed", "-1", "seed must be 0 or more, got -1"),
        ("warmup", "1", r"warmup must lie in \[0, 1\), got 1.0"),
        ("loss.cycle", "maybe", "loss.cycle must be true or false, got 'maybe'"),
        ("precision", "fp16", "precision must be one of auto, no, bf16, got 'fp16'"),
        ("loss", "0.2", r"loss holds several settings: set one of its parts, loss\.PART=VALUE"),
        ("text", "bert", r"text holds several settings: set one of its parts, text\.PART=VALUE"),
        ("epochs.first", "1", "Setting 'epochs' has no parts, got first"),
        ("targets", "en", r"Targets \('en',\) must differ from each other and from 'en'"),
        ("targets", "pt,gl", "'nrccr' learns 1 target language at a time, got pt, gl. Name one"),
        ("targets", "", "learns 1 target language at a time, got none"),
        ("objective", "triplet", "not those of the objective 'triplet'. Choose the recipe"),
        ("objective", "magic", "No objective 'magic'. Known: cl2cm, dasd, dragoman, leccr, mclip, nrccr"),
        ("chunk", "0", "chunk must be at least 1, got 0"),
        ("text.max_words", "300", "positions, but dual.positions is 250: --set dual.positions=300"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        base().with_settings({name: text})


@pytest.mark.parametrize("setting", [("dual.pool", "all"), ("dual.head_batch_norm", "true")])
def test_texts_that_depend_on_one_another_cannot_be_cut(setting: tuple[str, str]) -> None:
    assert base().with_settings(dict([setting])).chunk is None
    with pytest.raises(UserError, match=r"so a step cannot be cut: --set chunk=none, or --set dual\.head"):
        base().with_settings({"chunk": "8", setting[0]: setting[1]})


@pytest.mark.parametrize("setting", [("dual.pool", "all"), ("dual.released_padding", "true")])
def test_kept_states_are_not_read_where_padding_is(setting: tuple[str, str]) -> None:
    kept = base().with_settings({"text": "hf:encoder", "text.states": "states"})
    assert kept.with_settings({"word_dropout": "0"}).kept_texts == ("states",)
    with pytest.raises(UserError, match=r"states of padding, which are not kept: --set text\.states=none"):
        kept.with_settings(dict([setting]))


def test_settings_that_only_fit_together_come_in_any_order() -> None:
    for names in (
        ("dual.heads", "dual.hidden", "dual.key_width"),
        ("dual.hidden", "dual.key_width", "dual.heads"),
    ):
        values = {"dual.heads": "6", "dual.hidden": "36", "dual.key_width": "12"}
        found = base().with_settings({name: values[name] for name in names})
        assert (found.dual.heads, found.dual.hidden) == (6, 36)


def test_another_text_encoder_is_named_by_its_folder() -> None:
    found = base().with_settings({"text.layers": "last:2", "text": "hf:models/xlm-r"})
    assert found.text == HuggingFaceTextConfig(path="models/xlm-r", layers="last:2")
    plain = found.as_dict()["text"]
    assert (plain["type"], plain["path"], plain["layers"]) == ("huggingface", "models/xlm-r", "last:2")
    with pytest.raises(UserError, match=r"No setting 'text\.width'. Known here: embeddings, layers"):
        base().with_settings({"text": "hf:models/xlm-r", "text.width": "3"})


def test_the_configuration_survives_json() -> None:
    plain = tiny("nrccr").as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["text"]["type"], plain["text"]["width"], plain["targets"]) == ("small", 16, ["pt"])


def test_the_source_alone_can_be_learned() -> None:
    assert base("translate_train", ()).targets == ()


def test_an_unknown_setting_of_a_recipe_in_code_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'margn'"):
        objective_config("nrccr", margn=1)
