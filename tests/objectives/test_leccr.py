"""The objective `leccr`: the toys of the shared specification, and how soft its soft labels are."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from toy_views import make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, Slots, Views
from dragoman.objectives.leccr import Config, build, diversity, soft_labels
from dragoman.recipes import load_recipe


def toy() -> tuple[Views, Batch]:
    """Two images with two slots each, two source captions and their translations, in the plane."""
    slots = Slots(
        described=torch.tensor([True, True]),
        states=torch.ones(2, 2, 2),
        joint=torch.tensor([[[1, 0], [0, 1]], [[0.6, 0.8], [-1, 0]]]),
        slot_sides=torch.ones(2, 2, 2),
        vision_sides=torch.ones(2, 1, 2),
    )
    text = torch.tensor([[0.8, 0.6], [0, 1], [0.6, 0.8], [0.28, 0.96]])
    views = Views(image=torch.tensor([[1, 0], [0.6, 0.8]]), text=text, slots=slots)
    return views, make_batch([0, 1], back=False)


# Section 1, item 1 of the shared specification, to the digits.
@pytest.mark.parametrize(
    ("softness", "orientation", "expected"),
    [
        (1.0, "released", 0.001560),
        (1.0, "captions", 0.002782),
        (0.1, "released", 0.005273),
        (0.1, "captions", 0.014945),
    ],
)
def test_the_divergence_from_soft_labels(softness: float, orientation: Any, expected: float) -> None:
    views, batch = toy()
    objective = build(Config(softness=softness, orientation=orientation), 0)
    assert objective(views, batch)["soft"].item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("softness", "row"), [(1.0, (0.427188, 0.572812)), (0.1, (0.050530, 0.949470))])
def test_the_first_row_of_the_labels(softness: float, row: tuple[float, float]) -> None:
    views, _ = toy()
    assert views.slots is not None
    label = soft_labels(views.image, views.text[:2], views.slots, vision_share=0.8, softness=softness)
    assert label[0].tolist() == pytest.approx(row, abs=5e-7)


# Section 1, item 2.
def test_signed_diversity_rewards_opposite_slots_and_the_clean_one_does_not() -> None:
    alike = torch.tensor([[[1, 0], [0.6, 0.8]]])
    opposite = torch.tensor([[[1.0, 0], [-1, 0]]])
    assert diversity(alike, "signed").item() == pytest.approx(0.3)
    assert diversity(alike, "squared").item() == pytest.approx(0.36)
    assert diversity(opposite, "signed").item() == pytest.approx(-0.5)
    assert diversity(opposite, "squared").item() == pytest.approx(1.0)
    # A single slot is unlike no other.
    assert diversity(alike[:, :1], "squared").item() == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_are_sharp_below_a_softness_of_a_tenth_and_nearly_uniform_at_1(seed: int) -> None:
    # Captions that find their images among 64, as they do in training.
    draws = torch.Generator().manual_seed(seed)
    image = F.normalize(torch.randn(64, 256, generator=draws), dim=1)
    source = F.normalize(image + 0.05 * torch.randn(64, 256, generator=draws), dim=1)
    joint = 0.3 * torch.randn(64, 4, 256, generator=draws) + 3 * source[:, None]
    none = torch.zeros(64, 1, 1)
    slots = Slots(
        described=torch.ones(64, dtype=torch.bool),
        states=none,
        joint=joint,
        slot_sides=none,
        vision_sides=none,
    )

    def entropy(softness: float) -> float:
        label = soft_labels(image, source, slots, vision_share=0.8, softness=softness)
        assert label.sum(1).tolist() == pytest.approx([1.0] * 64, abs=1e-5)
        return torch.special.entr(label).sum(1).mean().item() / math.log(64)

    assert entropy(0.1) < 0.5 and entropy(0.05) < 0.5
    assert entropy(1.0) > 0.9


def test_an_image_without_a_description_counts_by_itself_alone() -> None:
    views, _ = toy()
    assert views.slots is not None
    slots = dataclasses.replace(views.slots, described=torch.tensor([True, False]))
    label = soft_labels(views.image, views.text[:2], slots, vision_share=0.8, softness=1.0)
    # By hand: the images' part is ((0.833333, 1), (0, 0.833333)); the slots of image 0 say 0.8 and 1, of
    # themselves 0 and 1; image 1 has its own part once more.
    score = torch.tensor([[0.8 * 5 / 6 + 0, 1], [0.2, 5 / 6]])
    torch.testing.assert_close(label, score.softmax(1))


@pytest.mark.parametrize("settings", [{}, {"orientation": "released", "agreement": "released"}])
def test_what_the_slots_of_such_images_hold_is_of_no_account(settings: dict[str, Any]) -> None:
    if settings.get("orientation") == "released":
        settings = {**settings, "softening": 0.0}  # where all rows are mixed with all columns
    batch = make_batch([0, 1, 2, 1])
    views, objective = make_views(batch), build(Config(**settings), 0)
    assert views.slots is not None and views.slots.described.tolist() == [True, False, True]
    before = objective(views, batch)
    changed = {
        name: value.detach().clone().index_fill_(0, torch.tensor([1]), 7.0)
        for name, value in vars(views.slots).items()
        if name != "described"
    }
    slots = Slots(described=views.slots.described, **changed)
    for term, value in objective(dataclasses.replace(views, slots=slots), batch).items():
        assert value.item() == before[term].item(), term


def test_without_any_description_the_terms_of_slots_are_absent() -> None:
    batch = make_batch([0, 1, 2])
    views, objective = make_views(batch), build(Config(), 0)
    assert views.slots is not None
    bare = dataclasses.replace(views.slots, described=torch.zeros(3, dtype=torch.bool))
    terms = objective(dataclasses.replace(views, slots=bare), batch)
    assert set(terms) == {"source", "target", "bridge", "soft"}
    assert objective.total(terms).isfinite()


def test_labels_move_neither_images_nor_source_captions_nor_slots() -> None:
    batch = make_batch([0, 1, 2], back=False)
    views = make_views(batch)
    assert views.slots is not None
    soft = build(Config(), 0)(views, batch)["soft"]
    moved = torch.autograd.grad(soft, [views.text, views.image, views.slots.joint], allow_unused=True)
    assert moved[0] is not None and moved[0][:3].abs().max() == 0 and moved[0][3:].abs().max() > 0
    # Images learn as the student's columns alone, slots not at all.
    assert moved[1] is not None and moved[2] is None


def test_the_parts_of_the_matching_of_translations_share_its_weight() -> None:
    views, batch = toy()
    objective = build(Config(target_weight=2.0, softening=0.3), 0)
    assert (objective.weights["target"], objective.weights["soft"]) == pytest.approx((1.4, 0.6))
    assert "soft" not in build(Config(softening=0.0), 0)(views, batch)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"softening": 1.5}, r"loss.softening must lie in \[0, 1\]"), ({"softness": 0.0}, "above 0, got 0")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Config(**settings)


def test_the_released_form_is_a_set_of_switches() -> None:
    clean, released = (load_recipe(name)("en", ("pt",), "eyes") for name in ("leccr", "leccr_released"))
    changed = {
        name: value for name, value in vars(released.loss).items() if value != getattr(clean.loss, name)
    }
    assert changed == {
        "orientation": "released",
        "softness": 1.0,
        "diversity": "signed",
        "agreement": "released",
    }
    assert (clean.slots.query_scale, released.slots.query_scale) == (0.02, 0.0)
    again = dataclasses.replace(
        released, recipe="leccr", loss=clean.loss, slots=dataclasses.replace(released.slots, query_scale=0.02)
    )
    assert again == clean
    # Table of the page: French and Czech Multi30K, Chinese COCO.
    loss: Any = clean.loss
    assert (loss.diversity_weight, loss.slot_weight, loss.softening, loss.agreement_weight) == (
        *(0.01, 0.01, 0.5, 0.01),
    )
    assert (clean.slots.count, clean.slots.layers, clean.slots.meeting_layers, clean.slots.heads) == (
        4,
        3,
        2,
        8,
    )
