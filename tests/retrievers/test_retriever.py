from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_duals import DETAILS, TEXTS, dual
from tiny_towers import picture, save_photo_corpus, save_tower

import dragoman
from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.retrievers.trained import Retriever


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", dual(), DETAILS)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of five pictures, its features by a tiny tower, and a run trained on them."""
    root = tmp_path_factory.mktemp("photos")
    corpus = save_photo_corpus(root / "corpus", 5)
    extract_features(
        corpus, encoder=save_tower(root / "tower", "clip"), name="eyes", options=ExtractOptions(batch_size=5)
    )
    features = Corpus.open(corpus).features("eyes")
    torch.manual_seed(0)
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    model = DualEncoder(shape, dual().trunk, features.width)
    vision = features.manifest["encoder"]
    save_model(root / "run" / "model", model, DETAILS | {"features": "eyes", "vision": vision})
    return root


def test_a_run_and_its_model_folder_load_the_same(run: Path) -> None:
    vectors = [
        dragoman.Retriever.load(folder).encode_text(TEXTS) for folder in (run, run / "model", str(run) + "/")
    ]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert Retriever.load(run).config == DETAILS
    assert Retriever.load(run).width == 16


def test_texts_get_the_vectors_of_the_model_in_their_order(run: Path) -> None:
    model = dual()
    with torch.no_grad():
        expected = np.concatenate(
            [model.encode_text(model.trunk.prepare([text])).vector.numpy() for text in TEXTS]
        )
    found = Retriever.load(run).encode_text(TEXTS, batch_size=2)
    assert (found.dtype, found.shape) == (np.float32, (6, 16))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_equal_texts_get_equal_vectors(run: Path) -> None:
    retriever = Retriever.load(run)
    found = retriever.encode_text(["um cão", *TEXTS, "um cão", "", "um cão"], batch_size=3)
    np.testing.assert_array_equal(found[0], found[7])
    np.testing.assert_array_equal(found[0], found[9])
    np.testing.assert_allclose(found[8], retriever.encode_text([""])[0], atol=1e-6)


def test_an_empty_list_gives_no_rows(run: Path) -> None:
    found = Retriever.load(run).encode_text([])
    assert (found.shape, found.dtype) == ((0, 16), np.float32)


def test_one_text_is_not_taken_for_a_list_of_letters(run: Path) -> None:
    with pytest.raises(UserError, match=r"encode_text takes a list of texts.*Write encode_text\(\['cão'\]\)"):
        Retriever.load(run).encode_text("cão")
    with pytest.raises(UserError, match="encode_image takes a list of images"):
        Retriever.load(run).encode_image("photo.jpg")


def test_vectors_of_another_width_are_refused(run: Path) -> None:
    retriever = Retriever.load(run)
    with pytest.raises(UserError, match=r"shape \(2, 13\), but the model reads \[N, 12\] .*'toy'"):
        retriever.encode_features(np.ones((2, 13), np.float32))
    with pytest.raises(UserError, match=r"shape \(12,\)"):
        retriever.encode_features(np.ones(12, np.float32))


def test_features_pass_in_blocks_and_from_disk(run: Path, tmp_path: Path) -> None:
    retriever = Retriever.load(run)
    vectors = np.random.default_rng(0).standard_normal((10, 12)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    found = retriever.encode_features(mapped, batch_size=3)
    with torch.no_grad():
        expected = dual().encode_image(torch.from_numpy(vectors.astype(np.float32))).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert retriever.encode_features(np.empty((0, 12), np.float16)).shape == (0, 16)


def test_photos_get_the_vectors_of_their_stored_features(photos: Path) -> None:
    retriever = Retriever.load(photos / "run")
    features = Corpus.open(photos / "corpus").features("eyes")
    paths = [photos / "corpus" / f"{number}.png" for number in range(5)]
    stored = retriever.encode_features(features.vectors)
    np.testing.assert_array_equal(retriever.encode_image(paths), stored)
    opened = [Image.open(path) for path in paths]
    np.testing.assert_array_equal(retriever.encode_image(opened), stored)
    # In other batches the tower may round differently by one float16 step.
    np.testing.assert_allclose(retriever.encode_image([str(paths[3])]), stored[3:4], atol=5e-3)
    assert retriever.encode_image([]).shape == (0, 16)


def test_another_tower_is_refused(photos: Path, tmp_path: Path) -> None:
    other = save_tower(tmp_path / "other", "clip", seed=5)
    with pytest.raises(UserError, match=r"other is not the vision tower of this run .*'eyes'"):
        Retriever.load(photos / "run", vision=other).encode_image([picture(1)])
    wide = save_tower(tmp_path / "wide", "vit")
    with pytest.raises(UserError, match=r"width 16, expected 8"):
        Retriever.load(photos / "run", vision=wide).encode_image([picture(1)])


def test_a_tower_that_moved_can_be_named(photos: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(photos / "tower", tmp_path / "moved")
    expected = Retriever.load(photos / "run").encode_image([picture(1)])
    away = photos / "tower away"
    (photos / "tower").rename(away)
    try:
        with pytest.raises(
            UserError, match=r"no longer in .*tower\. .*Retriever\.load\(run, vision=FOLDER\)"
        ):
            Retriever.load(photos / "run").encode_image([picture(1)])
        found = Retriever.load(photos / "run", vision=moved).encode_image([picture(1)])
        np.testing.assert_array_equal(found, expected)
    finally:
        away.rename(photos / "tower")


@pytest.mark.parametrize("vision", [None, "grid"])
def test_a_run_on_given_vectors_asks_for_its_tower(tmp_path: Path, vision: str | None) -> None:
    save_model(tmp_path, dual(), DETAILS | {"vision": vision})
    with pytest.raises(UserError, match=r"vectors 'toy' and does not know which vision tower made them"):
        Retriever.load(tmp_path).encode_image([picture(1)])


def test_a_broken_photo_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    with pytest.raises(UserError, match=r"torn\.jpg"):
        Retriever.load(photos / "run").encode_image([tmp_path / "torn.jpg"])
