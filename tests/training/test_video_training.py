"""Training on clips: every objective as on images, chunk by chunk as at once, and order where it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gradients import CASES, FUSED, STILL, config_of, distance, fixed_draws, gradients, prepared
from training_world import tiny
from video_world import VIDEO, write_video_world

from dragoman.corpus import Corpus
from dragoman.reports.evaluator import encode_images
from dragoman.retrievers.trained import Retriever
from dragoman.training import train
from dragoman.training.run_folder import read_config

SMALL = {name.replace("__", "."): value for name, value in VIDEO.items()} | {"video.dropout": "0"}
RECIPES = {case[0]: case for case in CASES if case[1] == ("pt",)} | {
    "one_to_k": ("one_to_k", ("pt",), {}),
    "dragoman": ("dragoman", ("pt",), {"trust.weight": "false", "extra_images": "9"}),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video_world(tmp_path_factory.mktemp("world") / "corpus")


@pytest.mark.parametrize("recipe", RECIPES)
def test_chunks_change_no_gradient(corpus: Path, recipe: str) -> None:
    name, targets, settings = RECIPES[recipe]
    whole = gradients(corpus, config_of(name, targets, STILL | SMALL | settings))
    assert len([one for one in whole if "image_frames" in one]) > 10
    assert all(value.isfinite().all() for value in whole.values())
    found = gradients(corpus, config_of(name, targets, STILL | SMALL | settings | {"chunk": "7"}))
    assert distance(found, whole) < 1e-5


def test_frames_are_fused_chunk_by_chunk_as_at_once(corpus: Path) -> None:
    name, _, settings = FUSED
    with fixed_draws():
        whole = gradients(corpus, config_of(name, ("pt",), STILL | SMALL | settings))
        found = gradients(corpus, config_of(name, ("pt",), STILL | SMALL | settings | {"chunk": "7"}))
    assert all(value.isfinite().all() for value in whole.values())
    assert whole["DualEncoder fusion.region_in.0.weight"].abs().max() > 1e-6
    assert distance(found, whole) < 1e-5


def test_frames_are_standardised_by_those_of_the_training_set(corpus: Path) -> None:
    state, _ = prepared(corpus, config_of("translate_train", ("pt",), SMALL))
    features = Corpus.open(corpus).features("toy")
    assert features.layout == "frames"
    trained = [item_id for item_id in features.ids if item_id.startswith("train")]
    frames = np.concatenate([features.frames(item_id)[0].astype(np.float64) for item_id in trained])
    mean, scale = state.model.feature_mean.numpy(), state.model.feature_scale.numpy()
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale, 1 / frames.std(0), rtol=1e-4)


def in_order(run: Path, corpus: Path) -> tuple[float, float]:
    """Share of test captions that prefer their clip to it backwards, and the largest difference."""
    retriever, opened = Retriever.load(run), Corpus.open(corpus)
    features = opened.features("toy")
    assert features.layout == "frames"
    rows = [row for row in opened.captions.to_pylist() if row["item_id"].startswith("test")]
    rows = [row for row in rows if row["role"] == "human" and row["lang"] == "pt"]
    texts = retriever.encode_text([row["text"] for row in rows])
    gaps = []
    for text, row in zip(texts, rows, strict=True):
        frames = features.frames(row["item_id"])[0]
        forward, backward = retriever.encode_features(np.stack([frames, frames[::-1]])) @ text
        gaps.append(float(forward - backward))
    return float(np.mean(np.array(gaps) > 0)), float(np.abs(gaps).max())


@pytest.mark.parametrize("pooling", ["nrccr", "temporal", "mean"])
def test_clips_that_differ_in_order_alone_are_told_apart_but_by_the_mean(
    corpus: Path, tmp_path: Path, pooling: str
) -> None:
    settings = {"steps": "150", "learning_rate": "0.01", "select": "last", "validate_every": "99"}
    still = {name.replace(".", "__"): value for name, value in STILL.items()} | {"word_dropout": "0"}
    shape = VIDEO | {"video__pooling": pooling, "video__dropout": "0", "batch_size": "20"}
    config = tiny("translate_train", ("pt",), **settings, **still, **shape)
    report = train(corpus, config, tmp_path, device="cpu")
    right, gap = in_order(tmp_path, corpus)
    print(f"{pooling}: SumR {report.best:.0f}, {right:.2f} in order")
    if pooling == "mean":
        assert gap < 1e-5
    else:
        assert right > 0.9


def test_a_finished_run_knows_its_video_settings_and_is_evaluated(corpus: Path, tmp_path: Path) -> None:
    config = tiny("translate_train", ("pt",), steps="2", **VIDEO)
    train(corpus, config, tmp_path, device="cpu")
    assert read_config(tmp_path) == config
    retriever, opened = Retriever.load(tmp_path), Corpus.open(corpus)
    features = opened.features("toy")
    items = [item_id for item_id in features.ids if item_id.startswith("test")]
    found = encode_images(retriever, features, items)
    for row, item_id in enumerate(items[:5]):
        assert features.layout == "frames"
        alone = retriever.encode_features(features.frames(item_id)[0][None])
        np.testing.assert_allclose(found[row : row + 1], alone, atol=1e-5)
    assert torch.equal(torch.from_numpy(found).isfinite().all(), torch.tensor(True))
