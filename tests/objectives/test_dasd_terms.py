"""The objective `dasd`: the toys of the specification, its stages, and who learns from what."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from dasd_setup import SECOND
from toy_views import gradients, hand_step, leaves, make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.dasd import Config, build, two_logits


def test_the_discriminator_on_two_pairs_of_each_kind() -> None:
    flipped, own = torch.tensor([[0.2, 0.5], [-0.1, 0.3]]), torch.tensor([[0.4, -0.2], [0.1, 0.1]])
    step = (two_logits(own, 0) + two_logits(flipped, 1)) / 2
    assert step.item() == pytest.approx(0.621364, abs=1e-6)
    assert 0.001 * two_logits(flipped, 0).item() == pytest.approx(0.000792742, abs=1e-9)


def test_the_widths_of_the_discriminator_are_those_of_the_paper() -> None:
    shapes = [tuple(one.shape) for one in build(Config(), 512, 512).opponent.parameters() if one.dim() == 2]
    assert shapes == [(256, 1024), (128, 256), (2, 128)]


@pytest.mark.parametrize(
    ("settings", "done", "contrasts"),
    [({}, 0.864, False), ({}, 0.865, True), ({"contrast_from": 1.0}, 1.0, False), (SECOND, 0.0, True)],
)
def test_the_second_stage_joins_late(settings: dict[str, float], done: float, contrasts: bool) -> None:
    views, batch = hand_step()
    terms = build(Config(**settings), 5, 2)(views, replace(batch, done=done))
    assert ("contrast" in terms) == contrasts
    # L1 of the sources, or smooth L1 of the images.
    assert terms["semantic"].item() == pytest.approx(0.42625 if contrasts else 0.15, abs=1e-6)


def test_captions_count_by_their_trust() -> None:
    views, batch = hand_step()
    trusted = replace(batch, weight=torch.tensor([1.0, 1, 1, 0.25, 1, 1]))
    terms = build(Config(), 5, 2)(views, trusted)
    assert terms["source"].item() == pytest.approx((0.8 + 0.25 * 0.2) / 1.25, abs=1e-6)
    assert terms["semantic"].item() == pytest.approx((0.1 + 0.25 * 0.2) / 1.25, abs=1e-6)


def test_each_side_of_the_adversary_moves_what_is_its_own() -> None:
    batch = make_batch([0, 1, 2, 3])
    views, objective = make_views(batch), build(Config(), 5, 6)
    deceive = objective(views, batch)["adversary"]
    # The one that deceives moves agnostic features of translations alone, and no weight of the other.
    found = gradients(deceive, views)
    assert set(found) == {"agnostic"}
    moved = found["agnostic"].abs().sum(1) > 0
    assert torch.equal(moved, (batch.lang == 1) & (batch.role != 2))
    weights = list(objective.opponent.parameters())
    assert torch.autograd.grad(deceive, weights, allow_unused=True, retain_graph=True) == (None,) * 6
    opposing = objective.opponent_loss(views, batch)
    assert gradients_of_nothing(opposing, list(leaves(views).values()))
    assert all(one.abs().sum() > 0 for one in torch.autograd.grad(opposing, weights))


def gradients_of_nothing(loss: torch.Tensor, inputs: list[torch.Tensor]) -> bool:
    found = torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=True)
    return all(one is None for one in found)


def test_a_caption_of_the_same_item_is_no_other_pair() -> None:
    # Three captions in the opposite order: the one in the middle would meet itself.
    batch = make_batch([0, 1, 2])
    views, objective = make_views(batch), build(Config(), 5, 6)
    found = gradients(objective(views, batch)["adversary"], views)["agnostic"][batch.rows(1)]
    assert (found.abs().sum(1) > 0).tolist() == [True, False, True]


def test_source_captions_alone_teach_nothing() -> None:
    whole = make_batch([0, 1], targets=1)
    views, objective = make_views(whole), build(Config(), 5, 6)
    rows = whole.rows(0)
    batch = replace(whole, **{name: getattr(whole, name)[rows] for name in ("item", "pair", "lang", "role")})
    cut = replace(views, raw=views.raw[rows], text=views.text[rows], agnostic=views.agnostic[rows])  # type: ignore[index]
    terms = objective(cut, batch)
    assert {name: term.item() for name, term in terms.items()} == {"source": 0} and terms[
        "source"
    ].requires_grad
    assert objective.opponent_loss(cut, batch).item() == 0


def test_a_share_of_the_run_lies_between_0_and_1() -> None:
    with pytest.raises(UserError, match=r"loss.contrast_from must lie in \[0, 1\], got 2"):
        Config(contrast_from=2)
