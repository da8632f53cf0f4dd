"""Re-ranking by a stored model, and regions of photos that no feature set holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_duals import DETAILS, FEATURES, TEXTS, dual, small_text
from tiny_towers import picture, save_photo_corpus, save_tower

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.fusion import FusionConfig
from dragoman.retrievers.trained import Retriever

REGIONS = 3


def fused(width: int = FEATURES, regions: int = REGIONS) -> DualEncoder:
    trunk = small_text()
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    fusion = FusionConfig(layers=1, heads=2, feed_forward=8, words=3)
    return DualEncoder(shape, trunk, width, fusion=fusion, regions=regions).eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", fused(), DETAILS)
    return folder


def test_a_stored_fusion_encoder_comes_back(run: Path) -> None:
    loaded, _ = load_model(run / "model")
    assert loaded.fusion is not None
    assert (loaded.fusion.config, loaded.fusion.regions) == (
        FusionConfig(layers=1, heads=2, feed_forward=8, words=3),
        3,
    )
    for name, value in fused().state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    assert json.loads((run / "model" / "config.json").read_text())["format_version"] == 2


def test_a_model_without_one_is_stored_as_before(tmp_path: Path) -> None:
    save_model(tmp_path, dual(), DETAILS)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format_version"] == 1
    assert {"fusion", "regions"}.isdisjoint(config)


@torch.no_grad()
def test_scores_are_match_less_no_match_of_each_pair(run: Path) -> None:
    draws = np.random.default_rng(0)
    regions = draws.standard_normal((4, REGIONS, FEATURES)).astype(np.float16)
    texts = [*TEXTS, TEXTS[0]]
    model, found = fused(), Retriever.load(run).rerank(texts, regions)
    assert model.fusion is not None and found.shape == (7, 4)
    memory = model.encode_regions(torch.from_numpy(regions).float())
    for row, text in enumerate(texts):
        views = model.encode_text(model.trunk.prepare([text]), tokens=True)
        for image in range(4):
            states = model.fusion(views.states, views.mask, memory[image, None])
            no, yes = model.fusion.match(states, views.mask)[0]
            whole = model.encode_image(torch.from_numpy(regions[image, None, 0]).float())
            dual = 10 * model.fusion.lean[0] * (views.vector @ whole.T).item() + 10 * model.fusion.lean[1]
            assert found[row, image] == pytest.approx(float(yes + dual - no), abs=1e-5)
    np.testing.assert_allclose(found[6], found[0], atol=1e-6)
    assert found.std() > 0.01


def test_pairs_name_rows_and_batches_do_not_matter(run: Path) -> None:
    retriever = Retriever.load(run)
    regions = np.random.default_rng(1).standard_normal((4, REGIONS, FEATURES)).astype(np.float32)
    whole = retriever.rerank(TEXTS, regions)
    pairs = np.array([[5, 0], [0, 3], [0, 3], [2, 1], [4, 2]])
    for size in (2, 100):
        found = retriever.rerank(TEXTS, regions, pairs, batch_size=size)
        np.testing.assert_allclose(found, whole[pairs[:, 0], pairs[:, 1]], atol=1e-5)
    assert retriever.rerank(TEXTS, regions, np.empty((0, 2), np.int64)).shape == (0,)


def test_what_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    retriever = Retriever.load(run)
    with pytest.raises(UserError, match=r"shape \(2, 12\), but the model reads \[images, 3, 12\]"):
        retriever.rerank(TEXTS, np.zeros((2, FEATURES), np.float32))
    with pytest.raises(UserError, match=r"shape \(2, 3, 5\)"):
        retriever.rerank(TEXTS, np.zeros((2, 3, 5), np.float32))
    with pytest.raises(UserError, match=r"takes a list of texts"):
        retriever.rerank("a dog", np.zeros((2, 3, FEATURES), np.float32))  # type: ignore[arg-type]
    save_model(tmp_path / "model", dual(), DETAILS)
    plain = Retriever.load(tmp_path)
    assert (plain.regions, retriever.regions) == (0, 3)
    with pytest.raises(
        UserError, match=r"no fusion encoder, so it cannot re-rank. Train one: dragoman train"
    ):
        plain.rerank(TEXTS, np.zeros((2, FEATURES), np.float32))


def test_a_model_on_single_vectors_takes_them_with_and_without_an_axis(tmp_path: Path) -> None:
    save_model(tmp_path / "model", fused(regions=1), DETAILS)
    retriever = Retriever.load(tmp_path)
    vectors = np.random.default_rng(2).standard_normal((3, FEATURES)).astype(np.float32)
    np.testing.assert_array_equal(retriever.rerank(TEXTS, vectors), retriever.rerank(TEXTS, vectors[:, None]))


def test_photos_are_seen_as_the_feature_set_holds_them(tmp_path: Path) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 5)
    tower = save_tower(tmp_path / "tower", "clip")
    extract_features(corpus, encoder=tower, name="cells", options=ExtractOptions(grid=2, batch_size=5))
    features = Corpus.open(corpus).features("cells")
    details = DETAILS | {"features": "cells", "vision": features.manifest["encoder"]}
    save_model(tmp_path / "run" / "model", fused(8, 5), details)
    retriever = Retriever.load(tmp_path / "run")
    photos = [picture(number) for number in range(5)]
    np.testing.assert_array_equal(retriever.tower_vectors(photos), features.parts(np.arange(5)))
    whole = retriever.encode_features(features.whole(np.arange(5)))
    np.testing.assert_array_equal(retriever.encode_image(photos), whole)
    assert retriever.rerank(["a dog"], retriever.tower_vectors(photos)).shape == (1, 5)
