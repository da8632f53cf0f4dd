"""The contract of objectives: every module of `dragoman/objectives` keeps it; a new one is found by its name.

An objective brings `tests/objectives/<name>_setup.py` with

    BY_HAND               settings, and the value of every term on `toy_views.hand_step`, calculated by hand;
                          "opponent" is the loss of the opponent, where there is one
    VARIANTS              further settings that shall keep the contract (none where it is missing)
    prepare(objective)    sets what is drawn at random, such as weights of an opponent, where there are some
                          (optional)
    STILL                 True where source captions do not learn (False where it is missing)
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from toy_views import gradients, hand_step, leaves, make_batch, make_views, reorder

from dragoman import plugins
from dragoman.objectives import build_objective, load_objective
from dragoman.objectives.contract import NEEDS, Batch, Objective, Views

STEPS = 20
NAMES = plugins.names("dragoman.objectives")


def set_up(name: str) -> Any:
    """The set-up of an objective, or None."""
    found = importlib.util.find_spec(f"{name}_setup")
    return None if found is None else importlib.import_module(f"{name}_setup")


CASES = [(name, settings) for name in NAMES for settings in [{}, *getattr(set_up(name), "VARIANTS", [])]]
each = pytest.mark.parametrize(
    ("name", "settings"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)


def make(name: str, settings: dict[str, Any], joint: int = 6) -> Objective:
    torch.manual_seed(3)
    return build_objective(name, load_objective(name).Config(**settings), 5, joint)


def calculated(name: str) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Settings and terms by hand, or a failure that says what to write."""
    values = getattr(set_up(name), "BY_HAND", None)
    if not values:
        pytest.fail(
            f"Write tests/objectives/{name}_setup.py with BY_HAND = [(settings, {{term: value}})]: the terms "
            f"of {name!r} on toy_views.hand_step, calculated by hand. See translate_train_setup.py beside it."
        )
    found: list[tuple[dict[str, Any], dict[str, float]]] = values
    return found


def test_a_set_up_that_is_missing_is_told_by_the_name_of_its_file() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"Write tests/objectives/odd_setup\.py with BY_HAND"):
        calculated("odd")


def terms_of(name: str, settings: dict[str, Any]) -> dict[str, float]:
    """Terms of the step that is calculated by hand."""
    objective, (views, batch) = make(name, settings, joint=2), hand_step()
    if hasattr(set_up(name), "prepare"):
        set_up(name).prepare(objective)
    terms = dict(objective(views, batch))
    if objective.opponent is not None:
        terms["opponent"] = objective.opponent_loss(views, batch)
    return {term: value.item() for term, value in terms.items()}


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_those_of_a_calculation_by_hand(name: str) -> None:
    for settings, expected in calculated(name):
        assert terms_of(name, settings) == pytest.approx(expected, abs=2e-6), settings


@pytest.mark.parametrize("name", NAMES)
def test_every_term_is_calculated_by_hand(name: str) -> None:
    # A value of 0 would hide its sign; a term of weight 0 is only looked at.
    told = {term for settings, terms in calculated(name) for term, value in terms.items() if value}
    wanted: set[str] = set()
    for settings in [{}, *(settings for named, settings in CASES if named == name)]:
        objective = make(name, settings)
        wanted |= {term for term, weight in objective.weights.items() if weight}
        wanted |= set() if objective.opponent is None else {"opponent"}
    missing = ", ".join(sorted(wanted - told))
    assert not missing, f"BY_HAND in tests/objectives/{name}_setup.py has no value other than 0 of: {missing}"


def lead(views: Views, batch: Batch, lang: int) -> float:
    """Mean cosine of the captions of a language with their own images, less that with all others."""
    rows = batch.rows(lang)
    cosine_BR = views.image @ views.text[rows].T
    own_BR = F.one_hot(batch.item[rows], len(views.image)).T.bool()
    return (cosine_BR[own_BR].mean() - cosine_BR[~own_BR].mean()).item()


@each
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradient_steps_bring_captions_nearer_to_their_images_than_to_others(
    name: str, settings: dict[str, Any], seed: int
) -> None:
    objective, batch = make(name, settings), make_batch([0, 1, 2, 3, 1])
    start = make_views(batch, seed=seed)
    # Teachers that are right: every caption belongs beside its image.
    images = start.image.detach()
    right = {"anchor": images[batch.item], "frozen": images[batch.item]}
    start = dataclasses.replace(start, teacher=images[batch.item[batch.rows(1)]], **right)
    still = getattr(set_up(name), "STILL", False)
    if still:
        # What does not learn is right as well.
        source_T1 = (batch.lang == 0).unsqueeze(1)
        start = dataclasses.replace(start, text=torch.where(source_T1, images[batch.item], start.text))

    def at(image: torch.Tensor, text: torch.Tensor) -> Views:
        text = F.normalize(text, dim=1)
        return dataclasses.replace(start, image=F.normalize(image, dim=1), text=text, raw=text)

    image, text = (part.detach().clone().requires_grad_() for part in (start.image, start.text))
    before = [lead(start, batch, lang) for lang in (0, 1)]
    for _ in range(STEPS):
        total = objective.total(objective(at(image, text), batch))
        moves = torch.autograd.grad(total, [image, text], allow_unused=True)
        with torch.no_grad():
            # By length: sums and means, cold and warm softmaxes have gradients of any size.
            for part, move in zip((image, text), moves, strict=True):
                if move is None:
                    continue  # an objective that looks at no image
                part -= 0.1 * move / move.norm().clamp(min=1e-9)
    after = [lead(at(image, text), batch, lang) for lang in (0, 1)]
    assert after[1] > before[1] and (still or after[0] > before[0]), (before, after)


@each
def test_it_says_what_it_reads(name: str, settings: dict[str, Any]) -> None:
    config = load_objective(name).Config(**settings)
    assert {"image", "text"} <= set(config.needs) <= set(NEEDS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.needs = ()  # type: ignore[misc]
    batch = make_batch([0, 1, 2], back="back" in config.needs)
    views = make_views(batch)
    unread = {view for view in (*leaves(views), "slots") if view not in config.needs}
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


@pytest.mark.parametrize("name", NAMES)
def test_a_language_that_a_step_lacks_is_left_out_or_refused(name: str) -> None:
    if load_objective(name).Config().target_languages == 1:
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
