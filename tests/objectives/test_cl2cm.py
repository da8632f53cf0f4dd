"""The objective `cl2cm`: relational transfer on the toys of the shared specification, teacher, trust."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from cl2cm_setup import SHAPE, prepare
from toy_views import hand_step, make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.cl2cm import CL2CM, Config, build
from dragoman.objectives.losses.distil import relational_transfer

TARGET, SOURCE = torch.tensor([[0.8, 0.6], [0, 1]]), torch.tensor([[1, 0], [0.6, 0.8]])
TEXT, IMAGE = torch.tensor([[0.6, 0.8], [0, 1]]), torch.eye(2)
T = 0.5


def made(**settings: Any) -> CL2CM:
    torch.manual_seed(0)
    return build(Config(**settings), 5)


def test_shares_and_divergences_of_the_toy() -> None:
    taught, learned = TARGET @ SOURCE.T / T, TEXT @ IMAGE.T / T
    expected = [[0.420676, 0.579324], [0.167982, 0.832018]], [[0.401312, 0.598688], [0.119203, 0.880797]]
    for logits, shares in zip((taught, learned), expected, strict=True):
        assert logits.softmax(1).tolist() == [pytest.approx(row, abs=1e-6) for row in shares]
    found = relational_transfer(taught, learned, torch.arange(2), torch.ones(2))
    assert [one.item() for one in found] == pytest.approx([0.005498, 0.038212], abs=1e-6)


def test_source_captions_of_one_item_add_up() -> None:
    target = torch.cat([TARGET, torch.tensor([[0.6, 0.8]])]).requires_grad_()
    source = torch.cat([SOURCE, torch.tensor([[0.0, 1.0]])]).requires_grad_()
    learned = torch.zeros(3, 2, requires_grad=True)
    rows, columns = relational_transfer(
        target @ source.T / T, learned, torch.tensor([0, 1, 1]), torch.ones(3)
    )
    # The gradient by logits is Q − P over the number of rows, and Q is a half.
    (gradient,) = torch.autograd.grad(rows, learned, retain_graph=True)
    merged = 0.5 - 3 * gradient
    expected = [(0.328143, 0.671857), (0.074951, 0.925049), (0.211983, 0.788017)]
    assert merged.tolist() == [pytest.approx(row, abs=1e-6) for row in expected]
    torch.testing.assert_close(merged.sum(1), torch.ones(3))
    # The teacher does not learn.
    assert torch.autograd.grad(rows + columns, [target, source], allow_unused=True) == (None, None)


def test_items_without_a_source_caption_are_left_out() -> None:
    taught, learned = TARGET @ SOURCE.T / T, TEXT @ IMAGE.T / T
    more = torch.cat([learned[:, :1], torch.full((2, 1), 9.0), learned[:, 1:]], dim=1)
    found = relational_transfer(taught, more, torch.tensor([0, 2]), torch.ones(2))
    expected = relational_transfer(taught, learned, torch.arange(2), torch.ones(2))
    torch.testing.assert_close(found, expected)


def test_target_captions_count_by_their_trust_in_rows_and_in_columns() -> None:
    taught, learned, weight = TARGET @ SOURCE.T / T, TEXT @ IMAGE.T / T, torch.tensor([1.0, 0.5])
    share, other = taught.softmax(1), learned.log_softmax(1)
    each = (share * (share.log() - other)).sum(1)
    # A column deals its mass out by similarity and trust: here among two, of which one counts half.
    mass = taught.exp() * weight[:, None]
    mass = mass / mass.sum(0)
    column = (mass * (mass.log() - learned.log_softmax(0))).sum(0).mean()
    rows, columns = relational_transfer(taught, learned, torch.arange(2), weight)
    torch.testing.assert_close(rows, (each[0] + 0.5 * each[1]) / 1.5)
    torch.testing.assert_close(columns, column)


@pytest.mark.parametrize("term", ["sentence", "word", "distil"])
def test_trust_acts_on_what_the_network_learns_and_teaches(term: str) -> None:
    views, batch = hand_step()
    objective = build(Config(**SHAPE), 5)
    prepare(objective)
    plain = objective(views, batch)[term].item()
    trusted = dataclasses.replace(batch, weight=torch.tensor([1, 1, 0.1, 1, 1, 1]))
    found = objective(views, trusted)[term].item()
    assert abs(found - plain) > 1e-3
    if term == "word":
        # All of it is in the first pair, which counts a tenth.
        assert found == pytest.approx(plain * 2 * 0.1 / 1.1, abs=1e-6)


def test_the_own_network_teaches_and_is_not_taught_by_what_it_teaches() -> None:
    batch = make_batch([0, 1, 2, 1])
    views = make_views(batch)
    objective = made()
    terms = objective(views, batch)
    assert objective.network is not None and views.tokens is not None
    layers = list(objective.network.parameters())
    distilled = torch.autograd.grad(
        terms["distil"], [*layers, views.tokens], allow_unused=True, retain_graph=True
    )
    assert all(gradient is None for gradient in distilled)
    for term in ("sentence", "word"):
        (moved,) = torch.autograd.grad(terms[term], views.tokens, retain_graph=True)
        assert moved.abs().max() > 0
        unmoved = torch.autograd.grad(
            terms[term], [views.image, views.text], allow_unused=True, retain_graph=True
        )
        assert unmoved == (None, None)


def test_words_are_aligned_with_the_own_source_caption_alone() -> None:
    # Two source captions of one item; the translation of the second alone.
    batch = make_batch([0, 0, 1], back=False)
    views = make_views(batch)
    kept = torch.tensor([0, 1, 2, 4])
    cut = dataclasses.replace(
        batch, **{name: getattr(batch, name)[kept] for name in ("item", "pair", "lang", "role")}
    )
    assert views.tokens is not None and views.mask is not None
    seen = {"text": views.text[kept], "tokens": views.tokens[kept], "mask": views.mask[kept]}
    objective = made()
    before = objective(dataclasses.replace(views, **seen), cut)["word"]
    other = seen["tokens"].clone()
    other[0] += 1
    after = objective(dataclasses.replace(views, **(seen | {"tokens": other})), cut)["word"]
    torch.testing.assert_close(before, after)


def test_without_the_own_source_caption_no_words_are_aligned() -> None:
    # The other source caption of the item is there, and says other words.
    batch = make_batch([0, 0, 1], back=False)
    views = make_views(batch)
    kept = torch.tensor([0, 2, 4])
    cut = dataclasses.replace(
        batch, **{name: getattr(batch, name)[kept] for name in ("item", "pair", "lang", "role")}
    )
    assert cut.sources(torch.tensor([2])).tolist() == [0]
    assert views.tokens is not None and views.mask is not None
    seen = dataclasses.replace(views, text=views.text[kept], tokens=views.tokens[kept], mask=views.mask[kept])
    assert set(made()(seen, cut)) == {"source", "target", "sentence", "distil"}


def test_a_step_without_translations_or_without_sources_has_the_terms_that_it_can_have() -> None:
    batch = make_batch([0, 1], back=False)
    views = make_views(batch)
    for rows, expected in ((torch.tensor([0, 1]), {"source"}), (torch.tensor([2, 3]), {"target"})):
        cut = dataclasses.replace(
            batch, **{name: getattr(batch, name)[rows] for name in ("item", "pair", "lang", "role")}
        )
        assert views.tokens is not None and views.mask is not None
        seen = dataclasses.replace(
            views, text=views.text[rows], tokens=views.tokens[rows], mask=views.mask[rows]
        )
        assert set(made()(seen, cut)) == expected


def test_settings_that_make_no_sense_are_refused() -> None:
    for name in ("width", "epsilon", "tolerance"):
        with pytest.raises(UserError, match=rf"loss\.{name} must be above 0, got 0"):
            Config(**{name: 0})
