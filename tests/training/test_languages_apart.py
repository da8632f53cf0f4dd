"""A step of the released code: each language encoded by itself, back-translations apart, then the teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from gradients import STILL, prepared
from torch import Tensor
from training_world import tiny, write_world

from dragoman.models.dual import DualEncoder, TextViews
from dragoman.training import TrainConfig
from dragoman.training.batches import Step

WAYS = {"source": (0, False), "target": (1, False), "back": (0, True)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


def config_of(**settings: str) -> TrainConfig:
    """Source captions lack words, so that their lengths differ, and so do those of the three sides."""
    still = {name.replace(".", "__"): value for name, value in STILL.items()}
    return tiny("nrccr", text__layers="1", word_dropout="0.3", batch_size="12", **still | settings)


def texts_of(step: Step, way: str) -> list[str]:
    lang, back = WAYS[way]
    return [step.texts[row] for row in step.row_of_text[step.batch.rows(lang, back=back)].tolist()]


def one_by_one(model: DualEncoder, texts: list[str]) -> list[TextViews]:
    """Each text alone."""
    return [model.encode_text(model.trunk.prepare([text]), tokens=True) for text in texts]


def normed(linear: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows by BatchNorm of fresh weights and at unit length, and the statistics."""
    mean, variance = linear.mean(0), linear.var(0)
    rows = (linear - mean) / (linear.var(0, correction=0) + 1e-5).sqrt()
    return F.normalize(rows, dim=1), mean, variance


@torch.no_grad()
def test_padding_reaches_to_the_longest_text_of_a_language(corpus: Path) -> None:
    state, step = prepared(corpus, config_of(dual__pool="all"))
    model = state.model.eval()
    views, batch = state.encoder.encode(step)
    lengths = {way: max(model.trunk.lengths(texts_of(step, way))) for way in WAYS}
    assert len(set(lengths.values())) > 1, "the sides must differ for a test"
    alone = {way: model.encode_text(model.trunk.prepare(texts_of(step, way)), tokens=True) for way in WAYS}
    for way, (lang, back) in WAYS.items():
        rows = batch.rows(lang, back=back)
        torch.testing.assert_close(views.text[rows], alone[way].vector)
        torch.testing.assert_close(views.pooled[rows], alone[way].pooled)  # type: ignore[index]
    torch.testing.assert_close(views.teacher, model.teach(alone["source"], alone["target"]))
    # All at once, as it was before, the shorter sides have more padding.
    together = model.encode_text(model.trunk.prepare(step.texts)).vector[step.row_of_text]
    assert (together - views.text).abs().max() > 0.01


@torch.no_grad()
def test_batch_norm_has_the_statistics_of_a_language_and_follows_four_passes(corpus: Path) -> None:
    state, step = prepared(corpus, config_of(dual__head_batch_norm="true"))
    model = state.model
    head, norm = model.text_head.linear, model.text_head.norm
    alone = {way: one_by_one(model.eval(), texts_of(step, way)) for way in WAYS}
    linear = {
        way: torch.cat([head(one.states[one.mask].mean(0, keepdim=True)) for one in some])  # type: ignore[index, operator]
        for way, some in alone.items()
    }
    taught = []
    for one, other in zip(alone["source"], alone["target"], strict=True):
        crossed = model.attention.cross(one.projected, other.projected, other.mask, one.mask)  # type: ignore[arg-type]
        both = torch.cat([crossed[one.mask], other.projected[other.mask]])  # type: ignore[index]
        taught.append(head(both.mean(0, keepdim=True)))  # type: ignore[operator]
    linear["teacher"] = torch.cat(taught)
    model.train()
    views, batch = state.encoder.encode(step)
    mean, variance = torch.zeros(16), torch.ones(16)
    for way in ("source", "target", "teacher", "back"):
        expected, own_mean, own_variance = normed(linear[way])
        mean, variance = 0.9 * mean + 0.1 * own_mean, 0.9 * variance + 0.1 * own_variance
        if way == "teacher":
            found = views.teacher
        else:
            lang, back = WAYS[way]
            found = views.text[batch.rows(lang, back=back)]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)


def test_a_side_of_one_text_can_be_learned(corpus: Path) -> None:
    # Of twelve back-translations one.
    settings = {"dual__head_batch_norm": "true", "back_share": "0.08", "steps": "3"}
    state, step = prepared(corpus, config_of(**settings))
    assert len(step.batch.rows(0, back=True)) == 1
    terms = state.take_step(step, 1.0)
    assert all(term.isfinite() for term in terms.values())


def test_a_source_caption_without_a_translation_has_no_teacher(corpus: Path) -> None:
    # In eval mode BatchNorm makes a row of every text alone, so that fewer texts change nothing.
    state, step = prepared(corpus, config_of(dual__head_batch_norm="true"))
    state.model.eval()
    views, batch = state.encoder.encode(step)
    kept = (batch.lang == 0) | (batch.pair % 2 == 0)
    names = ("item", "pair", "lang", "role")
    fewer = replace(
        batch, **{name: getattr(batch, name)[kept] for name in names}, weight=None, confidence=None
    )
    part, _ = state.encoder.encode(replace(step, batch=fewer, row_of_text=step.row_of_text[kept]))
    assert part.teacher is not None and views.teacher is not None
    assert len(part.teacher) == 6
    torch.testing.assert_close(part.teacher, views.teacher[::2])
