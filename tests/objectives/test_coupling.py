"""How texts find their source captions, soft targets, and source captions against translations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toy_views import BACK, HUMAN, MT, make_batch, make_views

from dragoman.objectives.contract import Batch, Views
from dragoman.objectives.losses.contrast import (
    SigmoidScale,
    bridge,
    sigmoid_contrast,
    softmax_contrast,
    text_targets,
)
from dragoman.objectives.losses.distil import feature_distillation, source_distillation
from dragoman.objectives.losses.triplet import confident_margin, hardest_triplet
from dragoman.objectives.pivot import Config, build


def scattered() -> Batch:
    """Two images: one source caption each, a translation of it, one of another caption, and a way back."""
    rows = [
        (0, 0, 0, HUMAN),
        (1, 1, 0, HUMAN),
        (1, 1, 1, MT),
        (0, 2, 2, MT),  # its own source caption is not in the step
        (2, 3, 1, MT),  # nor is any of its image
        (0, 0, 0, BACK),
    ]
    item, pair, lang, role = (torch.tensor(column) for column in zip(*rows, strict=True))
    return Batch(item=item, pair=pair, lang=lang, role=role, languages=("en", "pt", "es"))


def test_a_text_knows_its_source_caption_or_another_of_its_image() -> None:
    assert scattered().sources(torch.arange(6)).tolist() == [0, 1, 1, 0, 4, 0]
    # With several source captions of one image, the own one comes first.
    batch = make_batch([0, 0, 1], targets=1, back=False)
    assert batch.sources(torch.tensor([3, 4, 5])).tolist() == [0, 1, 2]


def test_back_translations_are_no_captions() -> None:
    assert scattered().captions().tolist() == [0, 1, 2, 3, 4]


def views_of(batch: Batch, seed: int = 0) -> Views:
    return make_views(batch, seed=seed)


def test_a_doubtful_text_aims_partly_at_what_its_source_caption_finds() -> None:
    batch = replace(scattered(), confidence=torch.tensor([1, 1, 0.25, 0.5, 0.1, 1.0]))
    views = views_of(batch)
    targets = text_targets(views, batch, torch.arange(5), torch.tensor(0.2))
    found = (views.image @ views.text.T / 0.2).softmax(0)
    own = torch.eye(3)
    torch.testing.assert_close(targets[:, 0], own[0])
    torch.testing.assert_close(targets[:, 2], 0.25 * own[1] + 0.75 * found[:, 1])
    torch.testing.assert_close(targets[:, 3], 0.5 * own[0] + 0.5 * found[:, 0])
    # Without a source caption there is nothing to fall back on.
    torch.testing.assert_close(targets[:, 4], own[2])
    torch.testing.assert_close(targets.sum(0), torch.ones(5))
    assert not targets.requires_grad


def test_a_share_of_the_target_goes_to_images_that_look_alike() -> None:
    batch = make_batch([0, 1, 2], back=False)
    views = views_of(batch)
    rows = torch.tensor([4, 5])
    alike = (views.image @ views.image.T / 0.2).softmax(0)
    targets = text_targets(views, batch, rows, torch.tensor(0.2), neighbours=0.3)
    torch.testing.assert_close(targets[:, 0], 0.7 * torch.eye(3)[1] + 0.3 * alike[:, 1])
    # Trust takes its part of what is left of the own image and its neighbours.
    doubtful = replace(batch, confidence=torch.full((6,), 0.5))
    found = (views.image @ views.text[2] / 0.2).softmax(0)
    both = text_targets(views, doubtful, rows, torch.tensor(0.2), neighbours=0.3)
    torch.testing.assert_close(both[:, 1], 0.5 * (0.7 * torch.eye(3)[2] + 0.3 * alike[:, 2]) + 0.5 * found)


def test_soft_targets_are_those_of_both_directions() -> None:
    batch = replace(make_batch([0, 1, 2], back=False), confidence=torch.tensor([1, 1, 1, 0.2, 0.6, 1.0]))
    views, rows = views_of(batch), torch.tensor([3, 4, 5])
    found = softmax_contrast(views, batch, rows, torch.tensor(0.3))
    logits = views.image @ views.text[rows].T / 0.3
    taught = (views.image @ views.text[:3].T / 0.3).softmax(0)
    to_text = to_image = 0.0
    aim = torch.tensor([0.2, 0.6, 1.0]) * torch.eye(3) + torch.tensor([0.8, 0.4, 0.0]) * taught
    for text in range(3):
        to_image -= sum(aim[i, text] * logits[:, text].log_softmax(0)[i] for i in range(3)).item() / 3
    for item in range(3):
        shares = aim[item] / aim[item].sum()
        to_text -= sum(shares[t] * logits[item].log_softmax(0)[t] for t in range(3)).item() / 3
    assert found.text_to_image.item() == pytest.approx(to_image, rel=1e-5)
    assert found.image_to_text.item() == pytest.approx(to_text, rel=1e-5)


def test_full_confidence_is_no_change() -> None:
    batch = make_batch([0, 1, 1, 2], back=False)
    views, rows = views_of(batch), torch.arange(4, 8)
    sure = replace(batch, confidence=torch.ones(8))
    for one, other in zip(
        vars(softmax_contrast(views, batch, rows, torch.tensor(0.1))).values(),
        vars(softmax_contrast(views, sure, rows, torch.tensor(0.1))).values(),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_the_bridge_is_the_textbook_sum_over_source_captions_and_translations() -> None:
    items = [0, 0, 1]
    batch = make_batch(items, targets=2, back=False)
    views = views_of(batch)
    logits = views.text[:3] @ views.text[3:].T / 0.2
    translated = items * 2
    to_text = to_source = 0.0
    for row, item in enumerate(items):
        own = [column for column, its in enumerate(translated) if its == item]
        to_text -= sum(logits[row].log_softmax(0)[column].item() for column in own) / len(own) / 3
    for column, item in enumerate(translated):
        own = [row for row, its in enumerate(items) if its == item]
        to_source -= sum(logits[:, column].log_softmax(0)[row].item() for row in own) / len(own) / 6
    found = bridge(views, batch, torch.tensor(0.2))
    assert found is not None
    assert found.image_to_text.item() == pytest.approx(to_text, rel=1e-5)
    assert found.text_to_image.item() == pytest.approx(to_source, rel=1e-5)


def test_a_translation_whose_image_has_no_source_caption_crosses_no_bridge() -> None:
    batch = scattered()
    views = views_of(batch)
    found = bridge(views, batch, torch.tensor(0.2))
    logits = views.text[[0, 1]] @ views.text[[3, 2]].T / 0.2
    assert found is not None
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(2))
    torch.testing.assert_close(found.image_to_text, expected)
    assert bridge(views, make_batch([0, 1], targets=0), torch.tensor(0.2)) is None


def test_pivot_shows_no_translation_to_an_image() -> None:
    batch = make_batch([0, 1, 2], targets=2, back=False)
    views = views_of(batch)
    objective = build(Config(bridge_weight=0.0), 5)
    terms = objective(views, batch)
    assert set(terms) == {"source", "bridge"}
    (grad,) = torch.autograd.grad(objective.total(terms), views.text)
    assert grad[:3].abs().sum() > 0 and grad[3:].abs().sum() == 0
    (grad,) = torch.autograd.grad(build(Config(source_weight=0.0), 5)(views, batch)["bridge"], views.text)
    assert (grad.abs().sum(1) > 0).all()


def test_only_the_translation_learns_from_the_source_caption() -> None:
    draws = torch.Generator().manual_seed(1)
    image, source, student = (torch.randn(n, 4, generator=draws, requires_grad=True) for n in (3, 2, 2))
    weight = torch.tensor([1.0, 0.5])
    value = source_distillation(image, source, student, 0.5, weight)
    expected = 0.0
    for pair in range(2):
        taught = torch.softmax(image @ source[pair] / 0.5, 0)
        learned = torch.log_softmax(image @ student[pair] / 0.5, 0)
        expected -= (weight[pair] * (taught * learned).sum() / 1.5).item()
    assert value.item() == pytest.approx(expected, rel=1e-5)
    grads = torch.autograd.grad(value, [image, source, student], allow_unused=True)
    assert [grad is None for grad in grads] == [True, True, False]


def test_feature_distillation_weighs_its_pairs() -> None:
    teacher, student = torch.eye(2), torch.tensor([[1.0, 0], [1, 0]])
    assert feature_distillation(teacher, student).item() == 0.5
    assert feature_distillation(teacher, student, weight_N=torch.tensor([3.0, 1])).item() == 0.25


def test_the_sigmoid_contrast_has_its_published_value() -> None:
    similarity = torch.tensor([[0.8, 0.1], [0.2, 0.6]])
    value = sigmoid_contrast(SigmoidScale()(similarity), torch.eye(2))
    assert value.item() == pytest.approx(3.072768, abs=1e-5)
    weighted = sigmoid_contrast(SigmoidScale()(similarity), torch.eye(2), torch.tensor([1.0, 0.0]))
    logits = 10 * similarity[:, 0] - 10
    expected = -(torch.log(torch.sigmoid(logits[0])) + torch.log(torch.sigmoid(-logits[1])))
    torch.testing.assert_close(weighted, expected)


def test_the_margin_of_a_doubtful_pair_shrinks() -> None:
    margin = confident_margin(0.2, torch.tensor([0.5, 1.0, 0.0]))
    assert isinstance(margin, torch.Tensor)
    assert margin.tolist() == pytest.approx([0.048051, 0.2, 0.0], abs=1e-6)
    assert confident_margin(0.2, None) == 0.2
    similarity = torch.full((3, 3), 0.3)
    # Equal similarities cost each pair its margin twice.
    value = hardest_triplet(similarity, torch.eye(3, dtype=torch.bool), margin)
    assert value.item() == pytest.approx(2 * (0.048051 + 0.2) / 3, abs=1e-6)


def test_triplets_weigh_their_pairs() -> None:
    similarity = torch.tensor([[0.5, 0.45, 0.1], [0.2, 0.6, 0.55], [0.35, 0.1, 0.4]])
    # Rows .15, .15, .15 and columns .05, .05, .35 at margin .2.
    value = hardest_triplet(
        similarity, torch.eye(3, dtype=torch.bool), 0.2, weight_N=torch.tensor([1.0, 0, 3])
    )
    assert value.item() == pytest.approx((0.2 + 3 * 0.5) / 4, abs=1e-6)
