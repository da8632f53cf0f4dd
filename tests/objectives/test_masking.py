"""How many words are hidden, and which."""

from __future__ import annotations

import torch

from dragoman.objectives._masking import draw_masks


def lengths_only(length: int) -> torch.Tensor:
    """A text of so many tokens, all of which can be predicted, padded to 40."""
    return torch.where(torch.arange(40) < length, torch.arange(40), -1)[None]


def test_four_tenths_are_chosen_at_least_one_at_most_twelve() -> None:
    torch.manual_seed(0)
    lengths = range(1, 41)
    found = [int(draw_masks(lengths_only(n), torch.tensor([n])).chosen.sum()) for n in lengths]
    assert found == [min(12, max(1, round(0.4 * n))) for n in lengths]


def test_tokens_that_cannot_be_predicted_are_never_chosen() -> None:
    torch.manual_seed(0)
    label = torch.tensor([[-1, 5, -1, 7, -1, -1], [-1, -1, -1, -1, -1, -1], [3, 3, 3, 3, 3, 3]])
    for _ in range(50):
        masks = draw_masks(label, torch.tensor([6, 6, 6]))
        # Of the first text only two tokens can be, and 0.4 x 6 rounds to 2; the second has none.
        assert masks.chosen.sum(1).tolist() == [2, 0, 2]
        assert not (masks.chosen & (label < 0)).any()


def test_every_token_is_as_likely_as_another() -> None:
    torch.manual_seed(0)
    label = torch.zeros(20_000, 5, dtype=torch.long)
    share = draw_masks(label, torch.full((20_000,), 5)).chosen.float().mean(0)
    # 2 of 5 tokens; four standard deviations are 0.014.
    torch.testing.assert_close(share, torch.full((5,), 0.4), atol=0.014, rtol=0)


def test_of_the_chosen_eight_tenths_are_hidden_and_one_tenth_swapped() -> None:
    torch.manual_seed(0)
    label = torch.zeros(20_000, 10, dtype=torch.long)
    masks = draw_masks(label, torch.full((20_000,), 10))
    assert not (masks.hidden & masks.swapped).any()
    assert not ((masks.hidden | masks.swapped) & ~masks.chosen).any()
    count = masks.chosen.sum()
    assert count == 80_000
    assert abs(masks.hidden.sum() / count - 0.8) < 0.006
    assert abs(masks.swapped.sum() / count - 0.1) < 0.0045
