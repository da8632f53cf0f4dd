"""The house objective: each part is what it says, and absent when switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_one_to_k import TOY_BATCH, TOY_VIEWS
from toy_views import make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.dragoman import Config, Dragoman, build
from dragoman.objectives.losses.contrast import bridge, sigmoid_contrast
from dragoman.objectives.losses.distil import feature_distillation, source_distillation
from dragoman.objectives.losses.triplet import same_item, soft_triplet


def make(**settings: Any) -> Dragoman:
    return build(Config(**settings), 5)


def test_with_everything_off_it_is_one_to_k() -> None:
    terms = make(temperature=0.5, distil_weight=0.0, bridge_weight=0.0, pull_weight=0.0)(TOY_VIEWS, TOY_BATCH)
    assert {name: value.item() for name, value in terms.items()} == {
        "contrast": pytest.approx(0.666557, abs=1e-6)
    }
    halved = make(temperature=0.5, text_weight=0.5)(TOY_VIEWS, TOY_BATCH)
    assert halved["contrast"].item() == pytest.approx(0.586564, abs=1e-6)


def test_the_ties_to_the_source_captions_are_those_of_their_functions() -> None:
    batch = replace(make_batch([0, 1, 1], targets=2, back=False), weight=torch.linspace(0.2, 1, 9))
    views = make_views(batch)
    objective = make(bridge_weight=2.0, distil_weight=3.0, pull_weight=5.0, distil_temperature=0.2)
    terms = objective(views, batch)
    source, translated = torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(3, 9)
    assert batch.weight is not None
    weight, text = batch.weight[translated], views.text
    found = bridge(views, batch, torch.tensor(0.07))
    assert found is not None
    torch.testing.assert_close(terms["bridge"], found.symmetric())
    torch.testing.assert_close(
        terms["distil"], source_distillation(views.image, text[source], text[translated], 0.2, weight)
    )
    torch.testing.assert_close(
        terms["pull"], feature_distillation(text[source], text[translated], weight_N=weight)
    )
    total = terms["contrast"] + 2 * terms["bridge"] + 3 * terms["distil"] + 5 * terms["pull"]
    torch.testing.assert_close(objective.total(terms), total)


def test_other_contrasts_are_those_of_their_functions() -> None:
    batch = make_batch([0, 1, 1], back=False)
    views = make_views(batch)
    similarity = views.image[batch.item] @ views.text.T
    triplets = soft_triplet(similarity, same_item(batch.item, "by_visual_id"), 0.3, 0.02)
    found = make(contrast="soft_triplet", margin=0.3, triplet_temperature=0.02)(views, batch)
    torch.testing.assert_close(found["contrast"], triplets)
    own = F.one_hot(batch.item, 2).T.float()
    spread = make(contrast="sigmoid", neighbours=0.4, temperature=0.5)(views, batch)
    alike = (views.image @ views.image.T / 0.5).softmax(0)[:, batch.item]
    pairs = sigmoid_contrast(10 * views.image @ views.text.T - 10, 0.6 * own + 0.4 * alike)
    torch.testing.assert_close(spread["contrast"], pairs)
    pairs = sigmoid_contrast(10 * views.image @ views.text.T - 10, own)
    torch.testing.assert_close(make(contrast="sigmoid")(views, batch)["contrast"], pairs)


def test_narrow_vectors_must_serve_alone_as_well() -> None:
    batch = make_batch([0, 1, 2], back=False)
    views = make_views(batch)
    narrow = replace(
        views, image=F.normalize(views.image[:, :2], dim=1), text=F.normalize(views.text[:, :2], dim=1)
    )
    parts = [make(distil_weight=1.0)(one, batch) for one in (narrow, views)]
    # A width that is no prefix changes nothing.
    found = make(distil_weight=1.0, widths=("2", "600"))(views, batch)
    for name in ("contrast", "distil"):
        torch.testing.assert_close(found[name], (parts[0][name] + parts[1][name]) / 2)


def test_a_step_of_source_captions_alone_has_no_ties() -> None:
    batch = make_batch([0, 1, 2], targets=0, back=False)
    terms = make(bridge_weight=1.0, distil_weight=1.0, pull_weight=1.0)(make_views(batch), batch)
    assert set(terms) == {"contrast"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.6}, r"temperature must lie in \[0.001, 0.5\], got 0.6"),
        ({"distil_temperature": 0.0}, r"distil_temperature must lie in \[0.001, 0.5\], got 0.0"),
        ({"neighbours": 1.0}, r"neighbours must lie in \[0, 1\), got 1.0"),
        ({"bridge_weight": -1.0}, "bridge_weight must be 0 or more, got -1.0"),
        ({"widths": ("64", "x")}, "widths must be whole numbers above 0, got 64, x"),
        ({"widths": ("0",)}, "widths must be whole numbers above 0, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config(**settings)
