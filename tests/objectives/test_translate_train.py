from __future__ import annotations

import pytest
import torch
from toy_views import make_batch, make_views, reorder

from dragoman.errors import UserError
from dragoman.objectives.translate_train import Config, build


def textbook(similarity: torch.Tensor, item: list[int], temperature: float) -> float:
    """Both directions, caption by caption: an image spreads its weight over its own captions."""
    logits = similarity / temperature
    to_text = to_image = 0.0
    for row in sorted(set(item)):
        own = [column for column, its in enumerate(item) if its == row]
        to_text -= sum(logits[row].log_softmax(0)[column].item() for column in own) / len(own)
    for column, row in enumerate(item):
        to_image -= logits[:, column].log_softmax(0)[row].item()
    return (to_text / len(set(item)) + to_image / len(item)) / 2


def test_each_language_is_the_textbook_sum() -> None:
    items = [0, 1, 1, 2]
    batch = make_batch(items, targets=2, back=False)
    views = make_views(batch)
    terms = build(Config(temperature=0.1), 5)(views, batch)
    losses = [textbook(views.image @ views.text[4 * lang : 4 * lang + 4].T, items, 0.1) for lang in (0, 1, 2)]
    assert terms["source"].item() == pytest.approx(losses[0], rel=1e-5)
    assert terms["target"].item() == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)


def test_without_targets_the_source_is_learned_alone() -> None:
    batch = make_batch([0, 1, 2], targets=0)
    assert list(build(Config(), 5)(make_views(batch), batch)) == ["source"]
    batch = make_batch([0, 1, 2])
    assert list(build(Config(target_weight=0), 5)(make_views(batch), batch)) == ["source"]


def test_back_translations_are_not_taken_for_source_captions() -> None:
    batch = make_batch([0, 1, 2])
    views = make_views(batch)
    without = reorder(views, batch, torch.arange(6), torch.arange(3))
    objective = build(Config(), 5)
    torch.testing.assert_close(objective(views, batch)["source"], objective(*without)["source"])


def test_a_temperature_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"temperature must lie in \[0.001, 0.5\], got 0.6"):
        Config(temperature=0.6)
