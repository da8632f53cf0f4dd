"""The objectives `uclip` and `mclip`, that bring anchors and captions together: toys of the specification."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from toy_views import HUMAN, hand_step

from dragoman.objectives import mclip, uclip
from dragoman.objectives.contract import Batch, Retrieved, Views

# h(x), g(e), h(m), g(i) of the shared specification, section 3.2.
TEXT, ANCHOR = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.8, 0.6], [0.6, 0.8]])
FOUND, IMAGE = torch.tensor([[0.6, 0.8], [0, 1]]), torch.tensor([[1.0, 0], [0.8, 0.6]])


def english() -> Batch:
    """Two English captions of two images."""
    return Batch(
        item=torch.arange(2),
        pair=torch.arange(2),
        lang=torch.zeros(2, dtype=torch.long),
        role=torch.full((2,), HUMAN),
        languages=("en",),
    )


def test_the_loss_of_uclip_on_two_captions() -> None:
    views = Views(image=torch.eye(2), text=TEXT, anchor=ANCHOR, retrieved=Retrieved(text=FOUND, image=IMAGE))
    objective = uclip.build(uclip.Config(temperature=0.5), 0)
    terms = objective(views, english())
    expected = {"anchored": 0.513015, "retrieved": 0.689938, "near": 0.452432}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, abs=1e-6)
    assert objective.total(terms).item() == pytest.approx(1.248197, abs=1e-6)


@pytest.mark.parametrize(
    ("scale", "edge", "total"),
    [("released", 0.427125, 2.617148), ("intended", 0.742255, 2.574435 + 0.0742255)],
)
def test_the_loss_of_mclip_on_two_captions(scale: str, edge: float, total: float) -> None:
    # Its captions stand at h(m), their images at g(i), their anchors at h(x).
    views = Views(image=IMAGE, text=FOUND, anchor=TEXT)
    config = mclip.Config(edge_scale=scale)  # type: ignore[arg-type]
    objective = mclip.build(config, 0)
    terms = objective(views, english())
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"source": 2.574435, "edge": edge}, abs=1e-6
    )
    assert objective.total(terms).item() == pytest.approx(total, abs=2e-6)


def test_the_scale_of_mclip_is_100_at_most() -> None:
    objective = mclip.build(mclip.Config(), 0)
    with torch.no_grad():
        objective.temperature.log.fill_(-9.0)
    assert objective.temperature().item() == pytest.approx(0.01)


def test_captions_of_other_languages_have_the_image_in_the_place_of_an_anchor() -> None:
    views, batch = hand_step()
    assert views.anchor is not None
    other = views.anchor.clone()
    other[batch.rows(1)] = 0
    objective = mclip.build(mclip.Config(), 0)
    torch.testing.assert_close(
        objective(dataclasses.replace(views, anchor=other), batch), objective(views, batch)
    )
    other[batch.rows(0)] = views.anchor[batch.rows(0)].flip(1)
    assert objective(dataclasses.replace(views, anchor=other), batch)["edge"] < 3


@pytest.mark.parametrize("module", [uclip, mclip])
def test_captions_count_by_their_trust(module: object) -> None:
    views, batch = hand_step()
    objective = module.build(module.Config(), 0)  # type: ignore[attr-defined]
    plain = objective(views, batch)
    trusted = objective(views, dataclasses.replace(batch, weight=torch.tensor([1, 1, 0.1, 1, 1, 1])))
    moved = {name for name in plain if (plain[name] - trusted[name]).abs() > 1e-4}
    # Both translations have the same loss against their images: there trust moves nothing in this step.
    assert moved == ({"anchored", "near"} if module is uclip else set())
