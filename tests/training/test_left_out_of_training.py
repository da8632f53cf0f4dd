"""Training after some photos got no vectors: the run of the corpus without these photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_world import tiny, write_world

from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.training import TrainConfig, train
from left_out import lacking_items, lacking_vectors

GONE = ("train003", "train017", "val001")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus that lacks the vectors of some items, and one that lacks the items."""
    place = tmp_path_factory.mktemp("world")
    whole = write_world(place / "whole")
    return lacking_vectors(whole, place / "lacking", *GONE), lacking_items(whole, place / "without", *GONE)


def short(recipe: str, **settings: str) -> TrainConfig:
    return tiny(recipe, **{"steps": "6", "validate_every": "0.3"} | settings)


def history(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name != "captions_per_second"} for line in lines]


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("nrccr", {"hard_negatives": "true"}),
        ("translate_train", {"target_captions": "human", "extra_images": "3"}),
        ("one_to_k", {"loss__mitm_weight": "1", "loss__cmlm_weight": "1", "fusion__feed_forward": "32"}),
    ],
)
def test_a_run_is_that_of_the_corpus_without_these_items(
    corpora: tuple[Path, Path], tmp_path: Path, recipe: str, settings: dict[str, str]
) -> None:
    names = ("lacking", "without")
    for corpus, name in zip(corpora, names, strict=True):
        train(corpus, short(recipe, **settings), tmp_path / name, device="cpu")
    found, expected = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in names)
    assert found == expected
    assert history(tmp_path / "lacking") == history(tmp_path / "without") != []
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in names]
    assert manifests[0]["without_vectors"] == {"train": ["train003", "train017"], "val": ["val001"]}
    assert "without_vectors" not in manifests[1]
    assert [one["captions"] for one in manifests] == [76, 76]


def test_a_run_goes_on_with_the_same_items_alone(
    corpora: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = lacking_vectors(corpora[0], tmp_path / "corpus")
    config = short("translate_train", checkpoint_every="1")

    def stop(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(corpus, config, tmp_path / "run", device="cpu", on_step=stop)
    set_of_before = Corpus.open(corpus).features("toy")
    vectors = np.concatenate([set_of_before.vectors, np.ones((1, set_of_before.width))])
    inputs = set_of_before.manifest["inputs"]
    ids = list(set_of_before.ids)
    write_features(set_of_before.folder, [*ids, "train003"], vectors, inputs=inputs)
    with pytest.raises(UserError, match=r"holds another run; it differs in without_vectors\. Give another"):
        train(corpus, config, tmp_path / "run", device="cpu")
    # What the run does not read may be repaired, or lost, meanwhile.
    write_features(set_of_before.folder, ids[:-1], vectors[:-2], inputs=inputs)
    assert ids[-1].startswith("test")
    caplog.clear()
    report = train(corpus, config, tmp_path / "run", device="cpu")
    assert [said for said in caplog.messages if "has no vector" in said] == [
        f"{set_of_before.folder} has no vector for 2 of 40 items in train, 1 of 12 items in val: train003, "
        "train017, val001. They are left out with their captions. Give them vectors: dragoman corpus … "
        f"--features FILE.npy --feature-ids FILE --out {corpus}"
    ]
    straight = train(corpora[1], config, tmp_path / "straight", device="cpu")
    assert (report.steps, report.best) == (6, straight.best)
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in (report, straight)]
    assert weights[0] == weights[1]
