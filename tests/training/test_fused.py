"""Training with the fusion encoder: the view `fused` against one pair at a time, and whole runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradients import STILL, gradients, prepared
from torch import Tensor
from training_world import WIDTH, tiny, write_world

import dragoman
from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.models.dual import DualEncoder
from dragoman.records import ROLES
from dragoman.training import TrainConfig, fused, train
from dragoman.training.batches import Step
from dragoman.training.fused import FusedDraws, Masks, draw, draw_masks
from dragoman.training.views import StepEncoder

REGIONS = 3
FUSED = {"loss.mitm_weight": "1", "loss.cmlm_weight": "0.5", "fusion.heads": "2", "fusion.feed_forward": "16"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up corpus; the items of the feature set `cells` have regions."""
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))
    whole = Corpus.open(folder).features("toy")
    parts = np.random.default_rng(0).standard_normal((len(whole.ids), REGIONS, WIDTH))
    parts[:, 0] = whole.vectors
    write_features(folder / "features" / "cells", whole.ids, parts, inputs={"toy": "2"})
    return folder


def config_of(**settings: str) -> TrainConfig:
    named = {name.replace(".", "__"): value for name, value in (FUSED | STILL | settings).items()}
    config = tiny("one_to_k", ("pt", "de"), **{"fusion__dropout": "0", "clip": "0"} | named)
    return replace(config, features="cells")


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws that do not depend on how often anything else has drawn: the first known word is hidden."""

    def seeded(*arguments: Any) -> FusedDraws:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            return draw(*arguments)

    def first(label_NL: Tensor, length_N: Tensor) -> Masks:
        known = label_NL >= 0
        chosen = known & (known.cumsum(1) == 1)
        return Masks(chosen=chosen, hidden=chosen, swapped=torch.zeros_like(chosen))

    monkeypatch.setattr(fused, "draw", seeded)
    monkeypatch.setattr(fused, "draw_masks", first)


def states_of(model: DualEncoder, text: str) -> tuple[Tensor, Tensor]:
    views = model.encode_text(model.trunk.prepare([text]), tokens=True)
    assert views.states is not None and views.mask is not None
    return views.states, views.mask


def one_by_one(model: DualEncoder, step: Step, regions: Tensor, draws: FusedDraws) -> Tensor:
    """Match logits, each text encoded and fused alone."""
    assert model.fusion is not None
    found = []
    for text, image in zip(*draws.pairs[:2], strict=True):
        states, mask = states_of(model, step.texts[step.row_of_text[text]])
        memory = model.fusion.read((regions[image, None] - model.feature_mean) * model.feature_scale)
        no, yes = model.fusion.match(model.fusion(states, mask, memory), mask)[0]
        text_J = model.encode_text(model.trunk.prepare([step.texts[step.row_of_text[text]]])).vector[0]
        cosine = text_J @ model.encode_image(regions[image, None, 0])[0]
        found.append(torch.stack([no, yes + 10 * (model.fusion.lean[0] * cosine + model.fusion.lean[1])]))
    return torch.stack(found)


@torch.no_grad()
def test_pairs_are_fused_as_if_each_stood_alone(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, step = prepared(corpus, config_of())
    model, kept = state.model.eval(), []
    monkeypatch.setattr(fused, "draw", lambda *a: kept.append(draw(*a)) or kept[-1])
    regions = torch.from_numpy(state.encoder.regions(step.items))
    views, batch = state.encoder.encode(step)
    draws = kept[0]
    assert len(draws.image) == len(step.items) == 8
    assert views.fused is not None and views.fused.match_logits is not None
    torch.testing.assert_close(views.fused.match_logits, one_by_one(model, step, regions, draws))
    assert views.fused.match_labels is not None
    assert views.fused.match_labels.tolist() == [1] * 8 + [0] * 16
    # Back-translations take no part, neither as captions nor as negatives.
    for text in (*draws.text, *draws.negative_text):
        assert batch.role[text] != ROLES.index("back")


@torch.no_grad()
def test_hidden_words_are_predicted_from_the_rest_and_the_own_image(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    monkeypatch.setattr(fused, "draw", lambda *a: kept.append(draw(*a)) or kept[-1])
    # Nothing is swapped: a swapped word would be another one in the slow way.
    monkeypatch.setattr(fused, "SWAP", 0.0)
    monkeypatch.setattr(fused, "draw_masks", lambda *a: kept.append(draw_masks(*a)) or kept[-1])
    state, step = prepared(corpus, config_of())
    model = state.model.eval()
    regions = torch.from_numpy(state.encoder.regions(step.items))
    views, _ = state.encoder.encode(step)
    draws, masks = kept
    assert model.fusion is not None and views.fused is not None and views.fused.word_logits is not None
    trunk, memory = model.trunk, model.encode_regions(regions)
    expected, expected_labels = [], []
    for number, text in enumerate(draws.text):
        inputs = trunk.prepare([step.texts[step.row_of_text[text]]])
        chosen = masks.chosen[number, None, : inputs["mask"].shape[1]]
        hidden, swapped = (part[number, None, : chosen.shape[1]] for part in (masks.hidden, masks.swapped))
        alone, labels = trunk.corrupt(inputs, hidden, swapped), trunk.labels(inputs, 8000)
        found = model.encode_text(alone, tokens=True)
        states = model.fusion(found.states, found.mask, memory[draws.image[number], None])
        for place in chosen[0].nonzero().squeeze(1):
            expected.append(model.word_head(states[0, place], trunk.label_table(8000)))
            expected_labels.append(int(labels[0, place]))
    torch.testing.assert_close(views.fused.word_logits, torch.stack(expected))
    assert views.fused.word_labels is not None
    assert views.fused.word_labels.tolist() == expected_labels


def test_chunks_give_the_gradients_of_a_whole_step(corpus: Path, fixed: None) -> None:
    whole = gradients(corpus, config_of(batch_size="12"))
    chunks = gradients(corpus, config_of(batch_size="12", chunk="7"))
    assert {"term mitm", "term cmlm", "DualEncoder word_head.dense.weight"} < set(whole)
    assert whole.keys() == chunks.keys()
    for name, value in whole.items():
        torch.testing.assert_close(
            chunks[name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_both_terms_teach_the_text_encoder_but_sampling_does_not(corpus: Path) -> None:
    # Without contrast, what reaches the image head could only come through sampling.
    state, step = prepared(corpus, config_of())
    state.objective.weights = {**state.objective.weights, "image_to_text": 0.0, "text_to_image": 0.0}
    state.take_step(step, 1.0)
    model = state.model
    assert model.trunk.pieces.weight.grad.abs().sum() > 0
    assert model.image_head.linear.weight.grad.abs().sum() == 0
    assert model.text_head.linear.weight.grad.abs().sum() == 0


@pytest.mark.parametrize("learned", [False, True])
def test_draws_follow_the_learned_temperature_as_released(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, learned: bool
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(fused, "draw", lambda *a: given.append(a[4]) or draw(*a))
    settings = {"loss.learned_sampling": str(learned), "loss.temperature": "0.2", "learning_rate": "0.05"}
    state, step = prepared(corpus, config_of(**settings))
    for _ in range(2):
        state.take_step(step, 1.0)
    if not learned:
        assert given == [None, None]
        return
    first, second = given
    assert float(first) == pytest.approx(0.2) and not first.requires_grad
    # The step between has moved its logarithm by the learning rate.
    assert abs(math.log(float(second)) - math.log(0.2)) == pytest.approx(0.05, rel=0.01)


def test_without_weights_there_is_no_fusion_encoder(corpus: Path) -> None:
    off = config_of(**{"loss.mitm_weight": "0", "loss.cmlm_weight": "0"})
    state, _ = prepared(corpus, off)
    assert state.model.fusion is None
    assert type(state.encoder) is StepEncoder


def test_a_step_with_one_image_has_no_negatives_and_goes_on(corpus: Path) -> None:
    state, step = prepared(corpus, config_of(batch_size="1"))
    assert len(step.items) == 1
    terms = state.take_step(step, 1.0)
    assert terms["mitm"] == 0
    assert all(term.isfinite() for term in terms.values())


def test_a_run_with_fusion_is_kept_and_resumed_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    config = config_of(steps="6", checkpoint_every="2", **{"text.dropout": "0.1", "fusion.dropout": "0.1"})
    whole = train(corpus, config, tmp_path / "whole", device="cpu")

    def stop(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(corpus, config, tmp_path / "stopped", device="cpu", on_step=stop)
    resumed = train(corpus, config, tmp_path / "stopped", device="cpu")
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in (whole, resumed)]
    assert weights[0] == weights[1]
    lines = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines
    stored = json.loads((whole.folder / "model" / "config.json").read_text())
    assert (stored["format_version"], stored["regions"], stored["fusion"]["heads"]) == (2, REGIONS, 2)
    retriever = dragoman.Retriever.load(whole.folder)
    assert retriever.regions == REGIONS


def test_the_match_head_learns_which_text_belongs_to_which_image(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "corpus", targets=("pt",), train=400)
    settings = {"text__width": "64", "dual__hidden": "64", "dual__joint": "64", "batch_size": "64"}
    settings |= {
        "steps": "90",
        "learning_rate": "3e-3",
        "validate_every": "100",
        "loss__mitm_weight": "1",
        "loss__sampling_temperature": "0.5",
    }
    report = train(corpus, tiny("one_to_k", ("pt",), **settings), tmp_path / "run", device="cpu")
    lines = [json.loads(line) for line in (report.folder / "metrics.jsonl").read_text().splitlines()]
    last = [line["terms"]["mitm"] for line in lines if "terms" in line][-2:]
    # Whoever knows only that a third of the pairs match is at 0.637.
    assert sum(last) / 2 < 0.55
