"""Vectors that come with the captions."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.corpus import BuildOptions, Corpus, GivenFeatures, build_jsonl
from dragoman.corpus.features import FeatureSet, write_features
from dragoman.errors import UserError


def built(folder: Path, item_ids: list[str], *features: GivenFeatures) -> Corpus:
    captions = ({"item_id": name, "split": "train", "lang": "en", "text": "a dog"} for name in item_ids)
    (folder / "c.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in captions))
    return build_jsonl(folder / "c.jsonl", folder / "out", BuildOptions(features=features)).corpus


def test_long_matrices_are_written_to_the_end(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(4099, 2))
    write_features(tmp_path, [str(row) for row in range(len(vectors))], vectors, inputs={})
    np.testing.assert_array_equal(FeatureSet.open(tmp_path).vectors, vectors.astype(np.float16))


def test_two_feature_sets_need_two_names() -> None:
    same = (
        GivenFeatures(vectors=Path("a/x.npy"), ids=Path("i")),
        GivenFeatures(vectors=Path("x.npy"), ids=Path("i")),
    )
    with pytest.raises(UserError, match="Two feature sets are named 'x'"):
        BuildOptions(features=same)


def test_vectors_are_stored_in_the_order_of_the_items(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.float32([[1, 2], [3, 4], [5, 6]]))
    (tmp_path / "ids.txt").write_text("k\nunused\ni\n")
    given_features = GivenFeatures(vectors=tmp_path / "v.npy", ids=tmp_path / "ids.txt")
    corpus = built(tmp_path, ["i", "k"], given_features)
    found = corpus.features("v")
    assert (found.ids, found.vectors.dtype, found.vectors.tolist()) == (
        ["i", "k"],
        np.float16,
        [[5, 6], [1, 2]],
    )


def npy(array: Any) -> bytes:
    with tempfile.TemporaryFile() as file:
        np.save(file, np.asarray(array))
        file.seek(0)
        return file.read()


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (None, "i\n", r"v\.npy does not exist"),
        (b"", "i\n", r"v\.npy is no readable \.npy file"),
        (b"hello", "i\n", r"v\.npy is no readable \.npy file"),
        (npy([[1.0, 2.0]])[:-8], "i\n", r"v\.npy is no readable \.npy file"),
        (npy(np.array([[{}]], object)), "i\n", r"no readable \.npy file .*Python objects"),
        (npy([1.0]), "i\n", r"holds float64 of shape \(1,\), but floats of shape"),
        (npy([[1]]), "i\n", r"holds int64 of shape \(1, 1\), but floats"),
        (npy([[np.nan]]), "i\n", r"row 1 \(item 'i'\) holds a value that is not finite"),
        (npy([[1e6]]), "i\n", r"row 1 \(item 'i'\) holds a value that is not finite"),
        (npy([[1.0], [2.0]]), "i\n", "has 2 rows but .* has 1 lines"),
        (npy([[1.0], [2.0]]), "i\ni\n", "line 2: 'i' stands on line 1 already"),
        (npy([[1.0]]), "j\n", "names no vector for 1 of 1 items: i"),
        (npy([[1.0]]), None, r"ids\.txt does not exist"),
    ],
)  # fmt: skip
def test_features_that_do_not_fit_are_named_and_nothing_is_left(
    tmp_path: Path, vectors: bytes | None, ids: str | None, message: str
) -> None:
    if vectors is not None:
        (tmp_path / "v.npy").write_bytes(vectors)
    if ids is not None:
        (tmp_path / "ids.txt").write_text(ids)
    with pytest.raises(UserError, match=message):
        built(tmp_path, ["i"], GivenFeatures(vectors=tmp_path / "v.npy", ids=tmp_path / "ids.txt"))
    assert not (tmp_path / "out").exists()


def test_an_archive_is_no_matrix(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", a=np.ones((1, 1)))
    with pytest.raises(UserError, match="archive of several arrays"):
        built(tmp_path, ["i"], GivenFeatures(vectors=tmp_path / "v.npz", ids=tmp_path / "ids.txt"))


def test_a_feature_set_cannot_leave_its_folder() -> None:
    with pytest.raises(UserError, match=r"cannot be named '\.\./x'"):
        GivenFeatures(vectors=Path("v.npy"), ids=Path("ids.txt"), name="../x")


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=60), cut=st.integers(0, 200))
@example(data=b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 99999999999999)}", cut=10)
@example(data=b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 1)}", cut=10)
def test_no_file_of_vectors_gives_anything_but_features_or_a_user_error(data: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ids.txt").write_text("i\n")
        (folder / "v.npy").write_bytes(npy([[1.0]])[:cut] + data)
        try:
            corpus = built(folder, ["i"], GivenFeatures(vectors=folder / "v.npy", ids=folder / "ids.txt"))
        except UserError:
            assert not (folder / "out").exists()
        else:
            assert corpus.features("v").vectors.shape[0] == 1
