"""Transport between the tokens of two texts: toys of the specification, marginals, padding, no pairs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragoman.objectives.losses.transport import (
    alignment_loss,
    cosine_cost,
    mutual_pairs,
    sinkhorn,
    weighted_mean,
)

COST = torch.tensor([[[0.1, 0.6], [0.4, 0.3]]], dtype=torch.float64)
BOTH = torch.ones(1, 2, dtype=torch.bool)


def slow(cost: Tensor, epsilon: float, updates: int) -> Tensor:
    """The plan of one pair of texts without padding, as the method is told."""
    kernel = (-cost / epsilon).exp()
    rows, columns = torch.ones(len(cost), dtype=cost.dtype), torch.ones(cost.shape[1], dtype=cost.dtype)
    for _ in range(updates):
        rows = 1 / len(cost) / (kernel @ columns)
        columns = 1 / cost.shape[1] / (kernel.T @ rows)
    return rows[:, None] * kernel * columns


def test_the_toy_of_the_specification() -> None:
    plan = sinkhorn(COST, BOTH, BOTH, tolerance=1e-6)[0]
    assert plan.diagonal().tolist() == pytest.approx([0.476287, 0.476287], abs=1e-6)
    assert (plan * COST[0]).sum().item() == pytest.approx(0.214228, abs=1e-6)
    # As confidence of a pair: B · T_ii.
    assert 2 * plan[0, 0].item() == pytest.approx(0.952574, abs=2e-6)


def test_a_fixed_number_of_updates_does_not_do() -> None:
    plan = sinkhorn(COST, BOTH, BOTH, tolerance=0, most=20)[0]
    assert plan.diagonal().tolist() == pytest.approx([0.475571, 0.476983], abs=1e-6)


@pytest.mark.parametrize(("epsilon", "updates"), [(0.1, 57), (0.05, 855)])
def test_so_many_updates_bring_rows_within_a_millionth(epsilon: float, updates: int) -> None:
    def error(most: int) -> float:
        plan = sinkhorn(COST, BOTH, BOTH, epsilon=epsilon, tolerance=0, most=most)
        return (plan.sum(2) - 0.5).abs().max().item()

    assert error(updates) <= 1e-6 < error(updates - 1)


@pytest.mark.parametrize("updates", [1, 2, 9, 10, 11, 35])
def test_updates_are_those_of_the_slow_way(updates: int) -> None:
    cost = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    masks = torch.ones(3, 4, dtype=torch.bool), torch.ones(3, 6, dtype=torch.bool)
    found = sinkhorn(cost, *masks, tolerance=0, most=updates)
    for one, plan in zip(cost, found, strict=True):
        torch.testing.assert_close(plan, slow(one, 0.1, updates))


def padded() -> tuple[Tensor, Tensor, Tensor]:
    """Costs of five pairs of texts and their masks; of the last pair one text has no token."""
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, length, 8, generator=draws, dtype=torch.float64) for length in (6, 7))
    masks = [
        torch.arange(length) < torch.tensor(lengths)[:, None]
        for length, lengths in ((6, [6, 1, 3, 4, 2]), (7, [2, 7, 3, 5, 0]))
    ]
    return cosine_cost(first, second), masks[0], masks[1]


@pytest.mark.parametrize("epsilon", [0.2, 0.1, 0.05])
def test_marginals_are_uniform_over_real_tokens_and_padding_has_no_mass(epsilon: float) -> None:
    cost, first, second = padded()
    plan = sinkhorn(cost, first, second, epsilon=epsilon, tolerance=1e-6)
    assert plan.isfinite().all() and (plan >= 0).all()
    for number in range(4):
        rows, columns = int(first[number].sum()), int(second[number].sum())
        real = plan[number, :rows, :columns]
        assert plan[number].count_nonzero() == real.count_nonzero()
        torch.testing.assert_close(real.sum(1), torch.full_like(real[:, 0], 1 / rows), rtol=0, atol=1e-6)
        torch.testing.assert_close(real.sum(0), torch.full_like(real[0], 1 / columns), rtol=0, atol=1e-9)
    assert plan[4].eq(0).all()


def test_a_pair_has_the_plan_that_it_has_alone() -> None:
    cost, first, second = padded()
    together = sinkhorn(cost, first, second)
    for number in range(4):
        rows, columns = int(first[number].sum()), int(second[number].sum())
        one = slice(number, number + 1)
        alone = sinkhorn(cost[one, :rows, :columns], first[one, :rows], second[one, :columns])
        torch.testing.assert_close(together[number, :rows, :columns], alone[0])


def test_a_small_regulariser_and_half_precision_are_no_danger() -> None:
    # exp(-C / ε) is 0 in 32 bits for all but the cheapest.
    plan = sinkhorn(COST.float(), BOTH, BOTH, epsilon=0.001, most=100)
    torch.testing.assert_close(plan, torch.eye(2)[None] / 2, rtol=0, atol=1e-3)
    rough = COST.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plan = sinkhorn(rough, BOTH, BOTH)
    assert plan.dtype == torch.float32
    torch.testing.assert_close(plan, sinkhorn(rough.float(), BOTH, BOTH))


def test_pairs_are_those_that_choose_each_other() -> None:
    plan = torch.tensor([[[0.3, 0.1, 0.0], [0.2, 0.0, 0.0], [0.1, 0.3, 0.0]]])
    assert mutual_pairs(plan)[0].nonzero().tolist() == [[0, 0], [2, 1]]
    equal = torch.full((1, 2, 2), 0.25)
    assert mutual_pairs(equal)[0].nonzero().tolist() == [[0, 0]]
    assert not mutual_pairs(torch.zeros(1, 2, 3)).any()


def test_the_loss_of_pairs_by_hand() -> None:
    logits = torch.tensor([[[2.0, 0.0, 9.0], [1.0, 0.0, 9.0]], [[1.0, 5.0, 5.0], [4.0, 4.0, 4.0]]])
    first = torch.tensor([[True, True], [True, False]])
    second = torch.tensor([[True, True, False], [True, True, False]])
    pairs = torch.zeros(2, 2, 3, dtype=torch.bool)
    pairs[0, 0, 0] = pairs[0, 1, 1] = pairs[1, 0, 0] = True
    # Of the first text: rows (2, 0) and (1, 0), columns (2, 1) and (0, 0), the mean over two pairs.
    one = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.e) + math.log(2)) / 2
    # Of the second: a row (1, 5), and a column with one token.
    two = math.log1p(math.exp(4))
    found = alignment_loss(logits, pairs, first, second, torch.tensor([1.0, 3.0]))
    assert found.item() == pytest.approx((one + 3 * two) / 4, abs=1e-6)


def test_without_any_pair_the_loss_is_nothing_and_so_is_its_gradient() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    masks = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)
    found = alignment_loss(logits, torch.zeros(2, 3, 4, dtype=torch.bool), *masks, torch.ones(2))
    assert found.item() == 0
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.eq(0).all()
    value = torch.ones(2, requires_grad=True)
    assert torch.autograd.grad(weighted_mean(value, torch.zeros(2)), value)[0].eq(0).all()
