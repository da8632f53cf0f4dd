from __future__ import annotations

import math

import pytest
import torch

from dragoman.objectives.losses.adversary import LanguageDiscriminator, Strength, binary

COUNTS: list[tuple[Strength, int, int]] = [
    ("weak", 2, 1538),
    ("weak", 1, 769),
    ("medium", 2, 230_018),
    ("medium", 1, 229_889),
    ("strong", 2, 590_978),
    ("strong", 1, 590_849),
]


@pytest.mark.parametrize(("strength", "logits", "count"), COUNTS)
def test_discriminators_have_the_published_sizes(strength: Strength, logits: int, count: int) -> None:
    found = LanguageDiscriminator(768, strength, logits)
    assert sum(weight.numel() for weight in found.parameters()) == count


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_not_knowing_costs_the_logarithm_of_two(label: float) -> None:
    assert binary(torch.zeros(3, 1), label).item() == pytest.approx(math.log(2), abs=1e-6)


def test_a_logit_above_zero_says_source() -> None:
    assert binary(torch.tensor([[4.0]]), 1.0).item() == pytest.approx(math.log1p(math.exp(-4)), abs=1e-6)
    assert binary(torch.tensor([[4.0]]), 0.0).item() == pytest.approx(4.018150, abs=1e-6)


def test_the_strong_one_sees_neither_padding_nor_batch_mates() -> None:
    torch.manual_seed(0)
    strong = LanguageDiscriminator(6, "strong").eval()
    states, mask = torch.randn(1, 3, 6), torch.ones(1, 3, dtype=torch.bool)
    alone = strong(states, mask)
    padded = torch.cat([states, torch.full((1, 5, 6), 99.0)], dim=1)
    longer = torch.cat([padded, torch.randn(1, 8, 6)])
    masks = torch.tensor([[True] * 3 + [False] * 5, [True] * 8])
    torch.testing.assert_close(strong(padded, masks[:1]), alone)
    torch.testing.assert_close(strong(longer, masks)[:1], alone)


def test_the_skip_path_of_the_strong_one_is_not_rectified() -> None:
    strong = LanguageDiscriminator(4, "strong")
    with torch.no_grad():
        for weight in strong.net.blocks.parameters():  # type: ignore[union-attr]
            weight.zero_()
    states, mask = -torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    entered = strong.net.enter(states.transpose(1, 2)).mean(2)  # type: ignore[operator, union-attr]
    assert (entered < 0).any()
    torch.testing.assert_close(strong(states, mask), strong.net.out(entered))  # type: ignore[operator, union-attr]
