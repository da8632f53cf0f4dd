"""Recipes that learn where a dual encoder puts English captions: closed form, steps, and both stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anchored_world import anchored_world, english, nearness, vector
from training_world import EN, PT, WIDTH

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.recipes import load_recipe
from dragoman.retrievers.light import LightRetriever
from dragoman.retrievers.trained import Retriever
from dragoman.training import TrainConfig, extended_config, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import StepPlan
from dragoman.training.closed_form import PARTS, orthogonal, ridge
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState

X = np.array([[1, 0], [0, 1], [0.6, 0.8]])
Y = np.array([[0.8, 0.6], [-0.6, 0.8], [0, 1]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with anchored_world(tmp_path_factory.mktemp("world") / "corpus") as folder:
        yield folder


def config_of(recipe: str, targets: tuple[str, ...] = ("pt",), **settings: str) -> TrainConfig:
    plain = {"text": "frozen:many", "batch_size": "20"}
    return load_recipe(recipe)("en", targets, "toy").with_settings(plain | settings)


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def planned(world: Path, config: TrainConfig) -> tuple[StepPlan, TrainState]:
    corpus = Corpus.open(world)
    samples = load_samples(corpus, config, back=False)
    plan = StepPlan(
        samples=samples, config=config, back=False, augmentation=load_augmentation(corpus, config)
    )
    return plan, TrainState(config, corpus, samples)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (0.0, [[0.8, 0.6], [-0.6, 0.8]]),
        (0.1, [[0.727273, 0.571429], [-0.545455, 0.761905]]),
        (1.0, [[0.4, 0.4], [-0.3, 0.533333]]),
    ],
)
def test_ridge_on_three_captions(penalty: float, expected: list[list[float]]) -> None:
    # The shared specification, section 3.1.
    np.testing.assert_allclose(ridge(X.T @ X, X.T @ Y, penalty), expected, atol=1e-6)


def test_the_rotation_on_three_captions() -> None:
    np.testing.assert_allclose(orthogonal(X.T @ Y), [[0.8, 0.6], [-0.6, 0.8]], atol=1e-9)
    with pytest.raises(UserError, match="has 3 of texts and 2 of anchors: --set solve=ridge"):
        orthogonal(np.zeros((3, 2)))


def test_the_closed_form_is_least_squares_with_the_penalty_that_validation_chose(
    world: Path, tmp_path: Path
) -> None:
    report = train(world, config_of("anchor"), tmp_path / "run")
    lines = logged(tmp_path / "run")
    scores = [line["validation"]["mean"] for line in lines if "validation" in line]
    assert [line["penalty"] for line in lines if "penalty" in line] == list(PARTS)
    assert (report.steps, report.best_step) == (len(PARTS), int(np.argmax(scores)) + 1)
    corpus = Corpus.open(world)
    captions = corpus.select(role="human", lang="en", split="train").texts
    x, e = (KeptTexts(corpus.features(name)).vectors(captions) for name in ("many", "toy_texts"))
    x, e = x.astype(np.float64), e / np.linalg.norm(e, axis=1, keepdims=True)
    centred, target = x - x.mean(0), e - e.mean(0)
    penalty = PARTS[report.best_step - 1] * np.trace(centred.T @ centred) / WIDTH
    # As one system of equations: the penalty is further rows.
    rows = np.concatenate([centred, np.sqrt(penalty) * np.eye(WIDTH)])
    found = np.linalg.lstsq(rows, np.concatenate([target, np.zeros((WIDTH, WIDTH))]), rcond=None)[0]
    texts = [" ".join(PT[:4]), "Hund Ball rot rennt", "cat", "nothing known"]
    asked = np.array([vector("many", text) for text in texts]).astype(np.float16).astype(np.float64)
    expected = (asked - x.mean(0)) @ found + e.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    retriever = Retriever.load(tmp_path / "run")
    np.testing.assert_allclose(retriever.encode_text(texts), expected, atol=5e-3)
    np.testing.assert_allclose(LightRetriever.load(tmp_path / "run").encode_text(texts), expected, atol=5e-3)
    # Images stay where the dual encoder put them, and an index of them valid.
    vectors = np.asarray(corpus.features("toy").vectors, np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(retriever.encode_features(vectors), unit, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"solve": "orthogonal"}, {"solve": "none", "epochs": "40", "learning_rate": "0.01"}]
)
def test_english_captions_alone_bring_other_languages_to_their_place(
    world: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    train(world, config_of("anchor", (), **settings), tmp_path / "run")
    # A rotation cannot undo that both sides stretch the space otherwise.
    least = 0.7 if settings.get("solve") == "orthogonal" else 0.95
    assert nearness(world, tmp_path / "run", "de") > least
    assert nearness(world, tmp_path / "run", "pt") > least


def test_the_map_learns_from_no_translation(world: Path) -> None:
    plan, _ = planned(world, config_of("anchor", ("pt", "de"), solve="none"))
    texts = plan.step(0).texts
    assert len(texts) > 10 and all(set(text.split()) <= set(EN) for text in texts)


def test_translations_learn_where_their_source_captions_belong(world: Path, tmp_path: Path) -> None:
    train(world, config_of("teacher", steps="300", select="last"), tmp_path / "run")
    terms = [line["terms"] for line in logged(tmp_path / "run") if "terms" in line]
    assert set(terms[0]) == {"taught", "total"} and terms[-1]["taught"] < 0.25 * terms[0]["taught"]
    assert nearness(world, tmp_path / "run", "pt") > 0.8


def test_every_text_of_a_step_has_the_anchor_of_its_source_caption(world: Path) -> None:
    plan, state = planned(world, config_of("teacher", ("pt", "de")))
    step = plan.step(0)
    assert state.anchors is not None
    found = state.anchors(step, step.batch).numpy()
    for row, (text, pair) in enumerate(zip(step.row_of_text.tolist(), step.batch.pair.tolist(), strict=True)):
        assert english(step.texts[text]) == step.source_of_pair[pair]
        expected = vector("clip", step.source_of_pair[pair])
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-3)


def test_the_contrast_joins_in_the_last_fifth_and_moves_no_image(world: Path, tmp_path: Path) -> None:
    train(world, config_of("teacher_contrast", steps="100"), tmp_path / "run")
    terms = {line["step"]: set(line["terms"]) for line in logged(tmp_path / "run") if "terms" in line}
    assert terms[80] == {"taught", "total"}
    assert terms[100] == {"taught", "total", "source", "target", "bridge"}
    model = Retriever.load(tmp_path / "run").model
    assert model.image_head is None and not any(
        name.startswith("image") for name, _ in model.named_parameters()
    )


def test_a_stopped_run_of_both_stages_goes_on_to_the_same_model(world: Path, tmp_path: Path) -> None:
    config = config_of("teacher_contrast", steps="20", validate_every="1", checkpoint_every="3")
    train(world, config, tmp_path / "whole")

    def stop(step: int) -> None:
        if step == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(world, config, tmp_path / "run", on_step=stop)
    train(world, config, tmp_path / "run")
    one, other = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "run"))
    assert one == other


def test_what_cannot_be_is_told_with_the_setting(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reads vectors of the source captions .* --set anchors=NAME"):
        config_of("teacher", anchors="none")
    with pytest.raises(UserError, match=r"in the space of the vision vectors, which .*linear leaves"):
        config_of("teacher", **{"dual.image_head": "linear"})
    with pytest.raises(UserError, match="solve=ridge finds a linear head on kept vectors from anchors"):
        config_of("teacher", solve="ridge")
    with pytest.raises(UserError, match="has no feature set 'mine'"):
        train(world, config_of("teacher", anchors="mine"), tmp_path / "run")
    run = tmp_path / "other"
    train(world, config_of("teacher", steps="2"), run)
    with pytest.raises(UserError, match="The objective 'teacher' adds no languages to a run"):
        extended_config(run, ("de",))
