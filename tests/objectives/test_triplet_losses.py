"""Toy values of NRCCR's triplet (hand calculation) and of the triplet alignment loss."""

from __future__ import annotations

import pytest
import torch
from toy_views import make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives import triplet
from dragoman.objectives.losses.triplet import hardest_triplet, same_item, soft_triplet

S = torch.tensor([[0.5, 0.45, 0.1], [0.2, 0.6, 0.55], [0.35, 0.1, 0.4]])
ALONE = torch.eye(3, dtype=torch.bool)
TWO_AND_THREE = torch.tensor([0, 1, 1])[:, None] == torch.tensor([0, 1, 1])[None, :]


def test_three_different_items_give_ninety_hundredths() -> None:
    # Rows .15, .15, .15; columns .05, .05, .35.
    assert hardest_triplet(S, ALONE, 0.2, "sum").item() == pytest.approx(0.90, abs=1e-6)
    assert hardest_triplet(S, ALONE, 0.2).item() == pytest.approx(0.30, abs=1e-6)


def test_captions_of_one_image_are_no_negatives_of_each_other() -> None:
    # Rows .15, 0, .15; columns .05, .05, 0.
    assert hardest_triplet(S, TWO_AND_THREE, 0.2, "sum").item() == pytest.approx(0.40, abs=1e-6)
    assert hardest_triplet(S, TWO_AND_THREE, 0.2).item() == pytest.approx(0.133333, abs=1e-6)


@pytest.mark.parametrize("loss", ["hardest", "soft"])
def test_a_batch_of_one_item_gives_zero_and_finite_gradients(loss: str) -> None:
    similarity = S.clone().requires_grad_()
    everything = torch.ones(3, 3, dtype=torch.bool)
    value = (
        hardest_triplet(similarity, everything, 0.2)
        if loss == "hardest"
        else soft_triplet(similarity, everything, 0.2, 0.1)
    )
    value.backward()
    assert value.item() == 0
    assert similarity.grad is not None and similarity.grad.tolist() == [[0.0] * 3] * 3


def test_equal_similarities_everywhere_cost_the_margin_both_ways() -> None:
    assert hardest_triplet(torch.full((4, 4), 0.3), torch.eye(4, dtype=torch.bool), 0.2).item() == (
        pytest.approx(0.4, abs=1e-6)
    )


def test_the_gradient_reaches_the_pair_and_its_hardest_negative_only() -> None:
    similarity = S.clone().requires_grad_()
    hardest_triplet(similarity, ALONE, 0.2, "sum").backward()
    # Rows pick (0,1), (1,2), (2,0); columns pick (2,0), (0,1), (1,2). Every pair is pushed up twice.
    assert similarity.grad is not None
    assert similarity.grad.tolist() == [[-2, 2, 0], [0, -2, 2], [2, 0, -2]]


def test_the_soft_form_has_the_published_toy_value() -> None:
    # Rows .152975, .152975, .157889; columns .070141, .052975, .351105.
    assert soft_triplet(S, ALONE, 0.2, 0.1).item() == pytest.approx(0.312687, abs=1e-6)
    assert soft_triplet(S, ALONE, 0.2, 0.1, "sum").item() == pytest.approx(0.938060, abs=2e-6)


def test_the_soft_form_bounds_the_hardest_from_above_and_meets_it_when_cold() -> None:
    for seed in range(5):
        similarity = torch.rand(6, 6, generator=torch.Generator().manual_seed(seed))
        same = torch.eye(6, dtype=torch.bool)
        hard = hardest_triplet(similarity, same, 0.2)
        assert soft_triplet(similarity, same, 0.2, 0.1) >= hard
        torch.testing.assert_close(soft_triplet(similarity, same, 0.2, 1e-4), hard, atol=1e-3, rtol=0)


def test_diagonal_negatives_ignore_the_ids() -> None:
    item = torch.tensor([4, 4, 1])
    assert same_item(item, "diagonal").tolist() == torch.eye(3, dtype=torch.bool).tolist()
    assert same_item(item, "by_visual_id").tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]


def test_the_objective_averages_its_target_languages() -> None:
    batch = make_batch([0, 1, 1, 2], targets=2, back=False)
    views = make_views(batch)
    terms = triplet.build(triplet.Config(), 5)(views, batch)
    expected = []
    for lang in (0, 1, 2):
        rows = (batch.lang == lang).nonzero().squeeze(1)
        item = batch.item[rows]
        similarity = views.image[item] @ views.text[rows].T
        expected.append(hardest_triplet(similarity, item[:, None] == item[None, :], 0.2))
    torch.testing.assert_close(terms["source"], expected[0])
    torch.testing.assert_close(terms["target"], (expected[1] + expected[2]) / 2)


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="margin must be above 0, got 0"):
        triplet.Config(margin=0)
