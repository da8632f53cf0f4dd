"""What every file of `dragoman/objectives` keeps; a new file is found by its name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from toy_views import gradients, leaves, make_batch, make_views, reorder

from dragoman import plugins
from dragoman.objectives.contract import NEEDS, Objective

PACKAGE = "dragoman.objectives"
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "nrccr": [
        {"contrast": "soft_triplet"},
        {"contrast": "info_nce"},
        {"cycle_contrast": "info_nce"},
        {"cycle_contrast": "cos"},
        {"discriminator": "strong"},
        {"reduction": "sum", "negatives": "diagonal", "feat_loss": "smooth_l1", "feat_detach_teacher": False},
        {"sim_loss": "kl", "detach_visual_teacher": False},
    ],
    "triplet": [{"soft": True}, {"negatives": "diagonal", "reduction": "sum"}],
    "one_to_k": [
        {"mitm_weight": 1.0, "cmlm_weight": 0.5},
        {"cmlm_weight": 1.0, "form": "per_language"},
        {"form": "per_language"},
        {"form": "pooled_logsum", "text_weight": "inverse_k"},
        {"rows": "caption"},
    ],
    "dragoman": [
        {"bridge_weight": 1.0, "distil_weight": 1.0, "pull_weight": 1.0, "widths": ("2", "4")},
        {"contrast": "sigmoid"},
        {"contrast": "soft_triplet"},
        {"form": "per_language"},
    ],
    "translate_train": [{"learn_temperature": False}],
}
CASES = [(name, settings) for name in plugins.names(PACKAGE) for settings in [{}, *VARIANTS.get(name, [])]]
each = pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)


def make(name: str, settings: dict[str, Any]) -> Objective:
    torch.manual_seed(3)
    module = plugins.load(PACKAGE, name, "objective")
    built: Objective = module.build(module.Config(**settings), 5)
    return built


@each
def test_it_says_what_it_reads(name: str, settings: dict[str, Any]) -> None:
    module = plugins.load(PACKAGE, name, "objective")
    config = module.Config(**settings)
    assert {"image", "text"} <= set(config.needs) <= set(NEEDS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.needs = ()
    batch = make_batch([0, 1, 2], back="back" in config.needs)
    views = make_views(batch)
    unread = {view for view in leaves(views) if view not in config.needs}
    terms = make(name, settings)(dataclasses.replace(views, **dict.fromkeys(unread)), batch)
    assert set(terms) <= set(make(name, settings).weights)


@each
@pytest.mark.parametrize("items", [[0, 1, 1, 2, 0], [0, 0, 0], [0]], ids=["several", "one item", "one pair"])
def test_terms_and_gradients_are_finite(name: str, settings: dict[str, Any], items: list[int]) -> None:
    objective, batch = make(name, settings), make_batch(items)
    views = make_views(batch)
    total = objective.total(objective(views, batch))
    assert total.isfinite()
    for found in gradients(total, views).values():
        assert found.isfinite().all()
    if objective.opponent is not None:
        assert objective.opponent_loss(views, batch).isfinite()


@each
def test_far_apart_and_equal_vectors_are_finite_as_well(name: str, settings: dict[str, Any]) -> None:
    objective, batch = make(name, settings), make_batch([0, 1, 2])
    views = make_views(batch)
    with torch.no_grad():
        views.image[:] = torch.eye(6)[:3]
        views.text[:] = -torch.eye(6)[:3].repeat(3, 1)
        assert views.teacher is not None
        views.teacher[:] = views.teacher[:1].clone()
    total = objective.total(objective(views, batch))
    assert all(found.isfinite().all() for found in [total, *gradients(total, views).values()])


@each
def test_the_order_of_texts_and_items_does_not_matter(name: str, settings: dict[str, Any]) -> None:
    objective, batch = make(name, settings), make_batch([0, 1, 1, 2])
    views = make_views(batch)
    before = objective(views, batch)
    draws = torch.Generator().manual_seed(4)
    for _ in range(3):
        texts, items = torch.randperm(12, generator=draws), torch.randperm(3, generator=draws)
        after = objective(*reorder(views, batch, texts, items))
        for term, value in before.items():
            torch.testing.assert_close(after[term], value, msg=lambda m, term=term: f"{term}: {m}")


@each
def test_a_pair_without_a_way_back_is_no_obstacle(name: str, settings: dict[str, Any]) -> None:
    objective, full = make(name, settings), make_batch([0, 1, 2, 3])
    views = make_views(full)
    kept = torch.tensor([row for row in range(12) if row != 9])
    cut, batch = reorder(views, full, kept, torch.arange(4))
    terms = objective(cut, batch)
    assert all(value.isfinite() for value in terms.values())
    # Whatever does not read back-translations is as before.
    before = objective(views, full)
    for term in set(terms) - {"cycle"}:
        torch.testing.assert_close(terms[term], before[term])


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_a_language_that_a_step_lacks_is_left_out_or_refused(name: str) -> None:
    module = plugins.load(PACKAGE, name, "objective")
    if module.Config().target_languages == 1:
        return  # one language: the configuration refuses others before a step is made
    whole, objective = make_batch([0, 1, 2], targets=1, back=False), make(name, {})
    views = make_views(whole)
    two = dataclasses.replace(whole, languages=("en", "pt", "es"))
    for term, value in objective(views, whole).items():
        torch.testing.assert_close(objective(views, two)[term], value)


@each
def test_equal_weights_and_full_confidence_change_nothing(name: str, settings: dict[str, Any]) -> None:
    if settings.get("reduction") == "sum":
        return  # a sum is as large as its weights
    objective, batch = make(name, settings), make_batch([0, 1, 1, 2])
    views = make_views(batch)
    before = objective(views, batch)
    trusted = dataclasses.replace(batch, weight=torch.full((12,), 0.3), confidence=torch.ones(12))
    for term, value in objective(views, trusted).items():
        torch.testing.assert_close(value, before[term])
