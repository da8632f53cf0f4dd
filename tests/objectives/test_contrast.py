"""Toy values and properties of the masked multi-positive loss (1-to-K contrastive learning)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragoman.objectives.losses.contrast import (
    Temperature,
    multi_positive,
    own_texts,
    spread_out,
    uniform_targets,
)

IMAGES = torch.tensor([[1.0, 0], [0, 1]])
TEXTS = torch.tensor([[0.8, 0.6], [1, 0], [0.6, 0.8], [0, 1]])
ITEM = torch.tensor([0, 0, 1, 1])
LOGITS = IMAGES @ TEXTS.T / 0.5
UNIFORM = uniform_targets(own_texts(ITEM, 2))


def rows(*weights: float) -> Tensor:
    """The same weights on both items' own texts."""
    return torch.tensor([[*weights, 0, 0], [0, 0, *weights]])


def test_pooled_uniform_has_the_published_values() -> None:
    terms = multi_positive(LOGITS, ITEM, UNIFORM)
    assert terms.image_to_text.item() == pytest.approx(1.013143, abs=1e-6)
    assert terms.text_to_image.item() == pytest.approx(0.319972, abs=1e-6)
    assert terms.symmetric().item() == pytest.approx(0.666557, abs=1e-6)
    assert terms.symmetric(text_weight=1 / 2).item() == pytest.approx(0.586564, abs=1e-6)


def test_the_softmax_row_and_its_gradient_are_the_published_ones() -> None:
    share = LOGITS[0].softmax(0)
    assert share.tolist() == pytest.approx([0.297262, 0.443462, 0.199260, 0.060016], abs=1e-6)
    logits = LOGITS.clone().requires_grad_()
    multi_positive(logits, ITEM, UNIFORM).image_to_text.backward()
    assert logits.grad is not None
    # (p - 1/K) / B on the positives: a text with more than its share is pushed down.
    assert logits.grad[0].tolist() == pytest.approx([-0.101369, -0.028269, 0.099630, 0.030008], abs=1e-6)


@pytest.mark.parametrize(("lang", "value"), [(0, 0.513015), (1, 0.126928)])
def test_one_language_alone_is_the_ordinary_loss(lang: int, value: float) -> None:
    chosen = torch.tensor([lang, lang + 2])
    logits, item = LOGITS[:, chosen], ITEM[chosen]
    terms = multi_positive(logits, item, uniform_targets(own_texts(item, 2)))
    assert terms.image_to_text.item() == pytest.approx(value, abs=1e-6)
    assert terms.text_to_image.item() == pytest.approx(value, abs=1e-6)
    ordinary = torch.nn.functional.cross_entropy(logits, torch.arange(2))
    torch.testing.assert_close(terms.image_to_text, ordinary)


def test_weighted_targets_have_the_published_values() -> None:
    terms = multi_positive(LOGITS, ITEM, rows(0.75, 0.25))
    assert terms.image_to_text.item() == pytest.approx(1.113143, abs=1e-6)
    weight = torch.tensor([0.75, 0.25, 0.75, 0.25])
    weighted = multi_positive(LOGITS, ITEM, rows(0.75, 0.25), text_weight_T=weight)
    assert weighted.text_to_image.item() == pytest.approx(0.416493, abs=1e-6)
    assert multi_positive(LOGITS, ITEM, rows(1, 0)).image_to_text.item() == pytest.approx(1.213143, abs=1e-6)
    assert multi_positive(LOGITS, ITEM, rows(0, 1)).image_to_text.item() == pytest.approx(0.813143, abs=1e-6)


def test_equal_weights_change_nothing() -> None:
    plain, weighted = (
        multi_positive(LOGITS, ITEM, UNIFORM, text_weight_T=weight)
        for weight in (None, torch.full((4,), 0.3))
    )
    torch.testing.assert_close(plain.text_to_image, weighted.text_to_image)


def test_a_missing_language_leaves_the_published_values() -> None:
    item = ITEM[:3]
    terms = multi_positive(LOGITS[:, :3], item, uniform_targets(own_texts(item, 2)))
    assert terms.image_to_text.item() == pytest.approx(0.789187, abs=1e-6)
    assert terms.text_to_image.item() == pytest.approx(0.384320, abs=1e-6)


def test_an_item_without_text_is_left_out_without_nan() -> None:
    item = torch.tensor([0, 0])
    logits = LOGITS[:, :2].clone().requires_grad_()
    terms = multi_positive(logits, item, uniform_targets(own_texts(item, 2)))
    share = LOGITS[0, :2].log_softmax(0)
    torch.testing.assert_close(terms.image_to_text, -share.mean())
    terms.symmetric().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_the_floor_is_the_entropy_of_the_targets_and_is_reached() -> None:
    weights = torch.tensor([0.75, 0.25])
    floor = -(weights * weights.log()).sum().item()
    assert floor == pytest.approx(0.562335, abs=1e-6)
    target = rows(0.75, 0.25)
    for seed in range(20):
        logits = 3 * torch.randn(2, 4, generator=torch.Generator().manual_seed(seed))
        assert multi_positive(logits, ITEM, target).image_to_text.item() > floor
    perfect = target.clamp(min=1e-30).log()
    assert multi_positive(perfect, ITEM, target).image_to_text.item() == pytest.approx(floor, abs=1e-6)
    assert multi_positive(LOGITS, ITEM, UNIFORM).image_to_text.item() - math.log(2) == (
        pytest.approx(0.319996, abs=1e-6)
    )


def test_order_of_items_and_texts_does_not_matter() -> None:
    texts, items = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 0])
    item = torch.argsort(items)[ITEM[texts]]
    moved = multi_positive(LOGITS[items][:, texts], item, uniform_targets(own_texts(item, 2)))
    still = multi_positive(LOGITS, ITEM, UNIFORM)
    torch.testing.assert_close(moved.image_to_text, still.image_to_text)
    torch.testing.assert_close(moved.text_to_image, still.text_to_image)


def test_one_row_for_an_item_makes_all_its_texts_positives() -> None:
    # The same picture twice would be its own negative; merged, the floor of two captions remains.
    twice = multi_positive(LOGITS[[0, 0]][:, :2], torch.tensor([0, 1]), torch.eye(2))
    once = multi_positive(LOGITS[[0]][:, :2], torch.tensor([0, 0]), torch.tensor([[0.5, 0.5]]))
    assert once.text_to_image.item() == 0
    assert twice.text_to_image.item() == pytest.approx(math.log(2), abs=1e-6)


def test_the_spread_of_three_vectors() -> None:
    # The shared specification, section 6.5.
    vectors = torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1]])
    assert spread_out(vectors, torch.arange(3)).item() == pytest.approx(0.333333, abs=1e-6)
    assert spread_out(vectors, torch.arange(3), "moments").item() == pytest.approx(0.217778, abs=1e-6)
    # In one direction the second moment is above that of random vectors as well.
    alike = torch.tensor([[1.0, 0]]).repeat(3, 1)
    assert spread_out(alike, torch.arange(3), "moments").item() == pytest.approx(1 + (1 - 1 / 2))
    # Captions of one item may lie together: the second pair of the three is left out.
    assert spread_out(vectors, torch.tensor([0, 1, 1])).item() == pytest.approx((0.6**2 + 0) / 2)
    assert spread_out(vectors, torch.zeros(3)).item() == 0


def test_temperature_keeps_its_bounds_and_learns_only_when_told() -> None:
    learned, fixed = Temperature(0.07, learned=True), Temperature(0.07, learned=False)
    assert learned().item() == pytest.approx(0.07, rel=1e-6)
    assert [len(list(one.parameters())) for one in (learned, fixed)] == [1, 0]
    for log, value in ((math.log(9), 0.5), (-20.0, 0.001)):
        with torch.no_grad():
            learned.log.fill_(log)
        assert learned().item() == pytest.approx(value, rel=1e-6)
