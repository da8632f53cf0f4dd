"""The objective `teacher`: the toy of M2M's loss, and the course of its two stages."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy_views import HUMAN, hand_step

from dragoman.objectives.contract import Batch, Views
from dragoman.objectives.teacher import Config, build


def test_the_loss_of_m2m_on_three_captions() -> None:
    views = Views(
        image=torch.eye(2),
        text=torch.tensor([[0.6, 0.8], [0, 1], [1, 0]]),
        anchor=torch.tensor([[0.8, 0.6], [0.6, 0.8], [1, 0]]),
    )
    numbers = torch.arange(3)
    batch = Batch(
        item=numbers % 2,
        pair=numbers,
        lang=torch.zeros(3, dtype=torch.long),
        role=torch.full((3,), HUMAN),
        languages=("en",),
    )
    objective = build(Config(distance="mse", teach_weight=48, structure_weight=1), 0)
    terms = objective(views, batch)
    # The shared specification, section 3.1.
    assert terms["taught"].item() == pytest.approx(0.08 * 2 / 2, abs=1e-6)
    assert terms["structure"].item() == pytest.approx(0.141867, abs=1e-6)
    assert objective.total(terms).item() == pytest.approx(3.981867, abs=1e-5)


@pytest.mark.parametrize(
    ("done", "share"), [(0.0, None), (0.79, None), (0.8, 1.0), (0.9, 0.6), (0.95, 0.4), (1.0, 0.2)]
)
def test_the_contrast_joins_late_and_the_anchors_give_way(done: float, share: float | None) -> None:
    views, batch = hand_step()
    objective = build(Config(contrast_from=0.8), 0)
    terms = objective(views, dataclasses.replace(batch, done=done))
    assert ("source" in terms, "bridge" in terms) == (share is not None, share is not None)
    assert terms["taught"].item() == pytest.approx(0.22 * (share or 1), abs=1e-6)


def test_captions_count_by_their_trust() -> None:
    views, batch = hand_step()
    trusted = dataclasses.replace(batch, weight=torch.tensor([1.0, 1, 0.5, 0.5, 1, 1]))
    found = build(Config(), 0)(views, trusted)["taught"].item()
    assert found == pytest.approx((0.04 + 0.04 + 0.5 * 0.4 + 0.5 * 0.4) / 3, abs=1e-6)
