"""A fingerprint changes with what decides vectors, and with nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from checksums import without_checksums

pytest.importorskip("torch", reason="models are PyTorch")

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_duals import DETAILS, dual

from dragoman.errors import UserError
from dragoman.models.folder import save_model
from dragoman.retrievers.loading import image_fingerprint, model_fingerprint
from dragoman.retrievers.trained import Retriever


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_model(tmp_path / "run" / "model", dual(), DETAILS)
    return tmp_path / "run"


def edit_config(run: Path, change: Any) -> None:
    file = run / "model" / "config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))
    without_checksums(file)


def edit_weight(run: Path, name: str, metadata: dict[str, str] | None = None) -> None:
    file = run / "model" / "model.safetensors"
    with safe_open(file, "pt") as stored:
        weights = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        metadata = metadata or stored.metadata()
    if name:
        weights[name] = weights[name] + torch.tensor(1e-6)
    save_file(weights, file, metadata=metadata)


def test_a_run_its_model_and_a_copy_are_one_model(run: Path, tmp_path: Path) -> None:
    found = model_fingerprint(run)
    copy = shutil.copytree(run / "model", tmp_path / "copy")
    assert len(found) == 64
    assert model_fingerprint(run / "model") == model_fingerprint(copy) == found
    assert Retriever.load(run).fingerprint == found


def test_the_card_the_golden_vectors_and_the_training_are_no_part_of_it(run: Path) -> None:
    before = model_fingerprint(run), image_fingerprint(run)
    (run / "model" / "README.md").write_text("another card")
    edit_weight(run, "", {"golden": "[]"})
    edit_config(run, lambda config: config["trained"].update(seed=9, recipe="other", targets=["de"]))
    assert (model_fingerprint(run), image_fingerprint(run)) == before


@pytest.mark.parametrize("name", ["text_head.linear.bias", "image_head.linear.bias", "feature_mean"])
def test_any_changed_weight_makes_another_model(run: Path, name: str) -> None:
    model, images = model_fingerprint(run), image_fingerprint(run)
    edit_weight(run, name)
    assert model_fingerprint(run) != model
    assert (image_fingerprint(run) != images) == (name != "text_head.linear.bias")


def test_the_vocabulary_decides_texts_and_not_images(run: Path) -> None:
    model, images = model_fingerprint(run), image_fingerprint(run)
    file = run / "model" / "ngrams.json"
    stored = json.loads(file.read_text())
    stored["pieces"] = stored["pieces"][::-1]
    file.write_text(json.dumps(stored))
    assert model_fingerprint(run) != model
    assert image_fingerprint(run) == images


def test_another_vision_tower_makes_another_model(run: Path) -> None:
    found = {model_fingerprint(run), image_fingerprint(run)}
    for tower in ({"path": "/a", "fingerprint": "1"}, {"path": "/b", "fingerprint": "2"}):
        edit_config(run, lambda config, tower=tower: config["trained"].update(vision=tower))
        found |= {model_fingerprint(run), image_fingerprint(run)}
    assert len(found) == 6
    # A tower that moved is the same tower.
    edit_config(run, lambda config: config["trained"]["vision"].update(path="/c"))
    assert model_fingerprint(run) in found


def test_an_export_says_itself_of_which_model_it_is_one(run: Path) -> None:
    edit_config(run, lambda config: config.update(fingerprint="abc", image_fingerprint="def"))
    assert (model_fingerprint(run), image_fingerprint(run)) == ("abc", "def")


def test_folders_that_hold_no_whole_model_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"empty holds no trained model.*dragoman train CORPUS --out RUN"):
        model_fingerprint(tmp_path / "empty")
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"model is incomplete or damaged .*torn"):
        model_fingerprint(run)
    edit_config(run, lambda config: config.pop("trained"))
    with pytest.raises(UserError, match="another kind of model"):
        model_fingerprint(run)
