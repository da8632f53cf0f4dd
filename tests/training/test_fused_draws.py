"""Draws for the fusion encoder: hard negatives of 1-to-K, and the words that are hidden."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from dragoman.objectives.contract import Fused, MatchingConfig
from dragoman.objectives.one_to_k import fused_terms
from dragoman.training.fused import FusedDraws, draw, draw_masks

# Two images, two captions each, temperature 0.5: the rows of the softmax are known.
IMAGES = torch.eye(2)
TEXTS = torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
TOY, ITEM = IMAGES @ TEXTS.T, torch.tensor([0, 0, 1, 1])
ROW_1 = [0.297262, 0.443462, 0.199260, 0.060016]
ALL = torch.ones(4, dtype=torch.bool)
FLOOR = 1e-5


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What `draw` hands to multinomial; the heaviest column is drawn."""
    seen: list[torch.Tensor] = []

    def heaviest(weight: torch.Tensor, count: int) -> torch.Tensor:
        seen.append(weight.clone())
        return weight.argmax(1, keepdim=True)

    monkeypatch.setattr(torch, "multinomial", heaviest)
    return seen


def config(**settings: Any) -> MatchingConfig:
    return MatchingConfig(**{"sampling_temperature": 0.5} | settings)


def test_the_released_weights_are_those_of_the_toy(weights: list[torch.Tensor]) -> None:
    found = draw(TOY, ITEM, ALL, config())
    # Image 2 is the mirror of image 1: its second caption is the best of all, at the same share.
    best = ROW_1[1]
    row_2 = [ROW_1[2], ROW_1[3], ROW_1[0], ROW_1[1]]
    own, images, texts = weights
    expected = [[best + FLOOR - ROW_1[0], FLOOR, 0, 0], [0, 0, best + FLOOR - row_2[2], FLOOR]]
    torch.testing.assert_close(own, torch.tensor(expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        texts,
        torch.tensor(
            [[0, 0, ROW_1[2] + FLOOR, ROW_1[3] + FLOOR], [row_2[0] + FLOOR, row_2[1] + FLOOR, 0, 0]]
        ),
        atol=1e-6,
        rtol=0,
    )
    # The share of image 2 in the column of text 1: cosines 0.8 and 0.6.
    share = 1 / (1 + math.exp((0.8 - 0.6) / 0.5))
    expected = [[0, share + FLOOR], [share + FLOOR, 0]]
    torch.testing.assert_close(images, torch.tensor(expected), atol=1e-6, rtol=0)
    assert (found.image.tolist(), found.text.tolist()) == ([0, 1], [0, 2])
    assert (found.negative_image.tolist(), found.negative_text.tolist()) == ([1, 0], [2, 0])


def test_the_other_ways_to_choose_a_caption(weights: list[torch.Tensor]) -> None:
    draw(TOY, ITEM, ALL, config(positive_language="uniform"))
    torch.testing.assert_close(weights[0], torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]))
    weights.clear()
    draw(TOY, ITEM, ALL, config(positive_language="similarity"))
    # Of image 1: e^(-1.6) and e^(-2), to a sum of 1.
    first = math.exp(-1.6) / (math.exp(-1.6) + math.exp(-2))
    expected = [[first, 1 - first, 0, 0], [0, 0, first, 1 - first]]
    torch.testing.assert_close(weights[0], torch.tensor(expected), atol=1e-6, rtol=0)


def test_a_temperature_that_was_learned_stands_in_the_place_of_the_fixed_one(
    weights: list[torch.Tensor],
) -> None:
    draw(TOY, ITEM, ALL, config(sampling_temperature=0.07), torch.tensor(0.5))
    texts = weights[2]
    assert texts[0].tolist() == pytest.approx([0, 0, ROW_1[2] + FLOOR, ROW_1[3] + FLOOR], abs=1e-6)


def test_texts_that_are_left_out_hold_no_share_and_are_never_drawn(weights: list[torch.Tensor]) -> None:
    usable = torch.tensor([True, False, True, True])
    draw(TOY, ITEM, usable, config())
    own, _, texts = weights
    assert own[0].tolist()[1:] == [0, 0, 0]
    # Without text 2, image 1 shares itself among the other three: 1.6, 1.2 and 0 as logits.
    total = math.exp(1.6) + math.exp(1.2) + 1
    expected = [0, 0, math.exp(1.2) / total + FLOOR, 1 / total + FLOOR]
    torch.testing.assert_close(texts[0], torch.tensor(expected), atol=1e-6, rtol=0)
    assert texts[1, 1] == 0


def test_own_items_are_never_negatives() -> None:
    torch.manual_seed(0)
    item = torch.tensor([0, 1, 1, 2, 0, 3, 3, 3])
    image = torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    # Texts equal to their images, so that own items are by far the likeliest.
    similarity = image @ image[item].T
    for form in ("released", "uniform", "similarity"):
        for _ in range(200):
            found = draw(
                similarity, item, torch.ones(8, dtype=torch.bool), MatchingConfig(positive_language=form)
            )
            assert found.image.tolist() == [0, 1, 2, 3]
            assert item[found.text].tolist() == [0, 1, 2, 3]
            assert (found.negative_image != found.image).all()
            assert (item[found.negative_text] != found.image).all()
            assert (found.negative_image >= 0).all() and (found.negative_text >= 0).all()


def test_draws_follow_their_weights() -> None:
    torch.manual_seed(1)
    counts = Counter(int(draw(TOY, ITEM, ALL, config()).negative_text[0]) for _ in range(4000))
    share = ROW_1[2] / (ROW_1[2] + ROW_1[3])
    # Three standard deviations of a binomial share.
    assert abs(counts[2] / 4000 - share) < 3 * math.sqrt(share * (1 - share) / 4000)
    assert set(counts) == {2, 3}


def test_a_batch_of_one_image_has_no_negatives_and_makes_no_pair() -> None:
    found = draw(TOY[:1, :2], torch.tensor([0, 0]), ALL[:2], config())
    assert (found.negative_image.tolist(), found.negative_text.tolist()) == ([-1], [-1])
    texts, images, labels = found.pairs
    assert len(texts) == len(images) == len(labels) == 0
    logits = torch.zeros(0, 2, requires_grad=True)
    term = fused_terms(Fused(match_logits=logits, match_labels=labels), config(mitm_weight=1.0))["mitm"]
    term.backward()
    assert term.item() == 0


def test_an_image_without_a_usable_text_is_left_out_but_can_be_a_negative() -> None:
    found = draw(TOY, ITEM, torch.tensor([True, True, False, False]), config())
    assert (found.image.tolist(), found.negative_image.tolist()) == ([0], [1])
    assert found.negative_text.tolist() == [-1]
    nothing = draw(TOY, ITEM, torch.zeros(4, dtype=torch.bool), config())
    assert len(nothing.image) == len(nothing.negative_text) == 0


def test_no_gradient_flows_through_sampling() -> None:
    image = IMAGES.clone().requires_grad_()
    found = draw(image @ TEXTS.T, ITEM, ALL, config())
    assert not any(getattr(found, name).requires_grad for name in ("text", "negative_image", "negative_text"))


def test_pairs_are_matches_then_their_text_with_another_image_then_another_text() -> None:
    draws = FusedDraws(
        image=torch.tensor([0, 1, 2]),
        text=torch.tensor([4, 5, 6]),
        negative_image=torch.tensor([2, 0, 1]),
        negative_text=torch.tensor([6, -1, 4]),
    )
    texts, images, labels = draws.pairs
    assert texts.tolist() == [4, 6, 4, 6, 6, 4]
    assert images.tolist() == [0, 2, 2, 1, 0, 2]
    assert labels.tolist() == [1, 1, 0, 0, 0, 0]


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
