"""Toy values of 1-to-K contrastive learning through views and batch, and what each form promises."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from toy_views import MT, make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, Views
from dragoman.objectives.one_to_k import Config, build

TOY_VIEWS = Views(
    image=torch.tensor([[1.0, 0], [0, 1]]),
    text=torch.tensor([[0.8, 0.6], [1, 0], [0.6, 0.8], [0, 1]]),
)
TOY_BATCH = Batch(
    item=torch.tensor([0, 0, 1, 1]),
    pair=torch.tensor([0, 0, 1, 1]),
    lang=torch.tensor([0, 1, 0, 1]),
    role=torch.tensor([0, MT, 0, MT]),
    languages=("en", "pt"),
)


def chosen(rows: list[int]) -> tuple[Views, Batch]:
    """The toy with some of its texts."""
    named = {name: getattr(TOY_BATCH, name)[rows] for name in ("item", "pair", "lang", "role")}
    return replace(TOY_VIEWS, text=TOY_VIEWS.text[rows]), replace(TOY_BATCH, **named)


def total(views: Views = TOY_VIEWS, batch: Batch = TOY_BATCH, **settings: object) -> float:
    objective = build(Config(temperature=0.5, **settings), 5)  # type: ignore[arg-type]
    return objective.total(objective(views, batch)).item()


@pytest.mark.parametrize(
    ("form", "one", "inverse_k"),
    [
        ("pooled_uniform", 0.666557, 0.586564),
        ("per_language", 0.319972, 0.239979),
        ("pooled_logsum", 0.310050, 0.230057),
    ],
)
def test_each_form_has_the_published_total(form: str, one: float, inverse_k: float) -> None:
    assert total(form=form) == pytest.approx(one, abs=1e-6)
    assert total(form=form, text_weight="inverse_k") == pytest.approx(inverse_k, abs=1e-6)


@pytest.mark.parametrize(("form", "value"), [("pooled_uniform", 1.013143), ("pooled_logsum", 0.300128)])
def test_image_to_text_has_the_published_value(form: str, value: float) -> None:
    terms = build(Config(temperature=0.5, form=form), 5)(TOY_VIEWS, TOY_BATCH)  # type: ignore[arg-type]
    assert terms["image_to_text"].item() == pytest.approx(value, abs=1e-6)
    assert terms["text_to_image"].item() == pytest.approx(0.319972, abs=1e-6)
    assert terms["floor"].item() == pytest.approx(math.log(2) if form == "pooled_uniform" else 0, abs=1e-6)


@pytest.mark.parametrize("form", ["pooled_uniform", "per_language", "pooled_logsum"])
@pytest.mark.parametrize(("lang", "value"), [(0, 0.513015), (1, 0.126928)])
def test_with_one_language_every_form_is_the_ordinary_loss(form: str, lang: int, value: float) -> None:
    assert total(*chosen([lang, lang + 2]), form=form) == pytest.approx(value, abs=1e-6)


def test_a_missing_language_leaves_the_published_values() -> None:
    terms = build(Config(temperature=0.5), 5)(*chosen([0, 1, 2]))
    assert terms["image_to_text"].item() == pytest.approx(0.789187, abs=1e-6)
    assert terms["text_to_image"].item() == pytest.approx(0.384320, abs=1e-6)


def test_inverse_k_counts_the_languages_that_the_step_has() -> None:
    three = replace(TOY_BATCH, languages=("en", "pt", "es"))
    assert total(batch=three, text_weight="inverse_k") == pytest.approx(0.586564, abs=1e-6)


def test_weights_become_shares_of_the_target_and_weights_of_the_texts() -> None:
    weighted = replace(TOY_BATCH, weight=torch.tensor([0.75, 0.25, 0.75, 0.25]))
    terms = build(Config(temperature=0.5), 5)(TOY_VIEWS, weighted)
    assert terms["image_to_text"].item() == pytest.approx(1.113143, abs=1e-6)
    assert terms["text_to_image"].item() == pytest.approx(0.416493, abs=1e-6)
    assert terms["floor"].item() == pytest.approx(0.562335, abs=1e-6)


def test_equal_weights_change_nothing() -> None:
    for form in ("pooled_uniform", "per_language", "pooled_logsum"):
        equal = replace(TOY_BATCH, weight=torch.full((4,), 0.3))
        assert total(batch=equal, form=form) == pytest.approx(total(form=form), abs=1e-6)


def test_inside_a_language_a_distrusted_caption_counts_less_for_its_image_too() -> None:
    weighted = replace(TOY_BATCH, weight=torch.tensor([1.0, 1.0, 1.0, 0.25]))
    logits = TOY_VIEWS.image @ TOY_VIEWS.text.T / 0.5
    expected = 0.0
    for lang, weights in ((0, [1.0, 1.0]), (1, [1.0, 0.25])):
        inner = logits[:, [lang, lang + 2]]
        rows, columns = inner.log_softmax(1).diagonal(), inner.log_softmax(0).diagonal()
        for item, weight in enumerate(weights):
            expected -= weight * (rows[item] + columns[item]).item() / sum(weights) / 4
    assert total(batch=weighted, form="per_language") == pytest.approx(expected, abs=1e-6)


def test_several_captions_of_an_image_are_all_positives() -> None:
    # Both captions of one image and none of another: nothing to tell apart, the loss is at its floor.
    one = replace(TOY_BATCH, item=torch.zeros(4, dtype=torch.long))
    terms = build(Config(temperature=0.5), 5)(replace(TOY_VIEWS, image=TOY_VIEWS.image[:1]), one)
    assert terms["text_to_image"].item() == 0
    assert terms["floor"].item() == pytest.approx(math.log(4), abs=1e-6)


def test_as_released_an_image_is_its_own_negative() -> None:
    # Two captions of one image: merged they are at home, as rows of their own they are confused.
    one = replace(TOY_BATCH, item=torch.zeros(4, dtype=torch.long))
    views = replace(TOY_VIEWS, image=TOY_VIEWS.image[:1])
    terms = build(Config(temperature=0.5, rows="caption"), 5)(views, one)
    assert terms["text_to_image"].item() == pytest.approx(math.log(2), abs=1e-6)
    # Where every image has one caption, both are the same.
    assert total(rows="caption") == pytest.approx(total(), abs=1e-6)


def test_an_image_without_captions_is_a_negative_of_every_text() -> None:
    more = replace(TOY_VIEWS, image=torch.cat([TOY_VIEWS.image, torch.tensor([[0.6, 0.8]])]))
    terms = build(Config(temperature=0.5), 5)(more, TOY_BATCH)
    assert terms["image_to_text"].item() == pytest.approx(1.013143, abs=1e-6)
    logits = more.image @ TOY_VIEWS.text.T / 0.5
    losses = torch.stack([-logits[:, text].log_softmax(0)[item] for text, item in enumerate([0, 0, 1, 1])])
    torch.testing.assert_close(terms["text_to_image"], losses.mean())


def test_back_translations_are_left_out() -> None:
    with_back, without = make_batch([0, 1, 2]), make_batch([0, 1, 2], back=False)
    views = make_views(with_back)
    short = replace(views, text=views.text[:6])
    objective = build(Config(), 5)
    for term, value in objective(short, without).items():
        torch.testing.assert_close(objective(views, with_back)[term], value)


def test_a_temperature_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"temperature must lie in \[0.001, 0.5\], got 0.6"):
        Config(temperature=0.6)
