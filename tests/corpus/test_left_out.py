"""The part of a corpus that has vectors, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_world import write_world

from dragoman.corpus import Corpus
from dragoman.corpus.features import FeatureSet, write_features
from dragoman.errors import UserError
from left_out import lacking_items, lacking_vectors

SIZES = {"train": 6, "val": 4, "test": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", **SIZES)


def test_items_without_vectors_leave_with_their_captions_and_are_told_once(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = ("train001", "train004", "val000")
    corpus = Corpus.open(lacking_vectors(whole, tmp_path / "c", *gone, "test001"))
    features = corpus.features("toy")
    seen = corpus.with_vectors(features, "train", "val")
    expected = Corpus.open(lacking_items(whole, tmp_path / "expected", *gone))
    assert seen.items.equals(expected.items) and seen.captions.equals(expected.captions)
    assert (seen.folder, seen.fingerprint()) == (corpus.folder, corpus.fingerprint())
    assert seen.without_vectors == {"train": ["train001", "train004"], "val": ["val000"]}
    assert len(corpus.items) == 12 and corpus.without_vectors == {}
    (said,) = caplog.messages
    assert said.startswith(
        f"{features.folder} has no vector for 2 of 6 items in train, 1 of 4 items in val: train001, "
        "train004, val000. They are left out with their captions. Give them vectors: dragoman corpus "
    )
    caplog.clear()
    assert seen.with_vectors(features, "train", "val") is seen and caplog.messages == []


def test_a_second_set_leaves_out_more(whole: Path, tmp_path: Path) -> None:
    folder = lacking_vectors(whole, tmp_path / "c", "train001")
    write_features(
        folder / "features" / "other", [f"train{n:03d}" for n in range(5)], np.ones((5, 2)), inputs={}
    )
    corpus = Corpus.open(folder)
    seen = corpus.with_vectors(corpus.features("toy"), "train")
    seen = seen.with_vectors(corpus.features("other"), "train")
    assert seen.without_vectors == {"train": ["train001", "train005"]}
    left = set(seen.items["item_id"].to_pylist())
    assert left == set(corpus.items["item_id"].to_pylist()) - {"train001", "train005"}


@pytest.mark.parametrize("missing", [3, 4, 6])
def test_half_of_a_split_may_be_missing_and_no_more(whole: Path, tmp_path: Path, missing: int) -> None:
    gone = [f"train{number:03d}" for number in range(missing)]
    corpus = Corpus.open(lacking_vectors(whole, tmp_path / "c", *gone))
    features = corpus.features("toy")
    # Splits that are not read may lack all.
    assert corpus.with_vectors(features, "val", "test") is corpus
    if missing == 3:
        assert len(corpus.with_vectors(features, "train").split("train")) == 3
        return
    with pytest.raises(UserError) as caught:
        corpus.with_vectors(features, "train", "val")
    assert str(caught.value) == (
        f"{features.folder} has no vector for {missing} of 6 items in train: train000, train001, "
        "train002, …. More than half of a split cannot be left out. Name another feature set, or give them "
        f"vectors: {features.make_again}"
    )


def test_the_command_that_makes_vectors_is_that_of_the_set(tmp_path: Path) -> None:
    folder = tmp_path / "my corpus" / "features" / "eyes"
    sampling = {"every": 0.5, "scenes": None, "most": 16}
    made_by = [
        ({"path": "towers/clip", "fingerprint": "1"}, "--encoder towers/clip --name eyes"),
        ({"path": "a b", "fingerprint": "1", "grid": 3}, "--encoder 'a b' --name eyes --grid 3"),
        ({"path": "c", "sampling": sampling}, "--encoder c --name eyes --every 0.5 --most-frames 16"),
        (
            {"path": "d", "reading": {"prefix": "query: ", "pool": "mean"}},
            "--encoder d --name eyes --prefix 'query: ' --pool mean",
        ),
    ]
    for encoder, options in made_by:
        write_features(folder, ["i"], np.ones((1, 2)), inputs={}, encoder=encoder)
        found = FeatureSet.open(folder).make_again
        assert found == f"dragoman features '{tmp_path}/my corpus' {options}"
