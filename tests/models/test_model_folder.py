from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_duals import DETAILS, TEXTS, dual

from checksums import without_checksums
from dragoman.errors import DamagedError, UserError
from dragoman.folders import write_sealed
from dragoman.models import folder as model_folder
from dragoman.models.folder import load_model, save_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "model"
    save_model(folder, dual(), DETAILS)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(saved, tmp_path / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    kept = json.loads((folder / "config.json").read_text("utf-8")) | changes
    write_sealed(folder / "config.json", {name: one for name, one in kept.items() if name != "checksum"})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"image_head": "mlp"},
        {"image_head": "none"},
        {"pool": "all", "head_batch_norm": True},
        {"pool": "all", "released_padding": True, "image_head": "released", "position_scale": 1.0},
    ],
)
def test_a_loaded_model_is_the_saved_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = dual(**settings)
    model.fit_features(torch.arange(12.0), torch.arange(1.0, 13.0))
    save_model(tmp_path, model, DETAILS)
    loaded, trained = load_model(tmp_path)
    assert trained == DETAILS
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    inputs, features = model.trunk.prepare(TEXTS), torch.randn(3, 12)
    with torch.no_grad():
        assert torch.equal(model.encode_text(inputs).vector, loaded.encode_text(inputs).vector)
        assert torch.equal(model.encode_image(features), loaded.encode_image(features))


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({"released_padding": True}, 5),
        ({"image_head": "released"}, 5),
        ({"text_head": "projector"}, 9),
        ({"image_head": "projector"}, 9),
        ({"image_head": "matrix"}, 9),
        ({"image_unit": True}, 9),
    ],
)
def test_older_versions_are_told_what_they_do_not_know(
    saved: Path, tmp_path: Path, settings: Any, version: int
) -> None:
    stored = json.loads((saved / "config.json").read_text("utf-8"))
    assert stored["format_version"] == 1
    assert not {"released_padding", "position_scale", "image_unit"} & stored["dual"].keys()
    save_model(tmp_path, dual(**settings), DETAILS)
    stored = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert stored["format_version"] == version
    assert settings.items() <= stored["dual"].items()


def test_the_folder_holds_safetensors_json_and_a_card(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == (
        ["README.md", "config.json", "model.safetensors", "ngrams.json"]
    )
    assert set(load_file(saved / "model.safetensors")) == set(dual().state_dict())
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage:\n- en\n- pt\nlibrary_name: dragoman\n")
    assert "machine-translated captions in pt" in card


def test_saving_leaves_a_model_in_training_as_it_was(tmp_path: Path) -> None:
    model = dual().train()
    before = torch.get_rng_state()
    save_model(tmp_path, model, DETAILS)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_a_swapped_vocabulary_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "ngrams.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(stored | {"pieces": stored["pieces"][::-1]}), encoding="utf-8")
    with pytest.raises(DamagedError, match=r"ngrams\.json has [\d,]+ bytes, but [\d,]+ were written"):
        load_model(folder)
    # As in a model of before there were checksums.
    monkeypatch.setattr("dragoman.models.stored.damages", lambda folder, listed: [])
    with pytest.raises(UserError, match=r"does not reproduce its golden vectors .* do not belong together"):
        load_model(folder)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model = dual()
    save_model(tmp_path, model, DETAILS)
    with torch.no_grad():
        model.text_head.linear.weight[0, 0] = torch.nan
    weights = (tmp_path / "model.safetensors").read_bytes()
    save_model(tmp_path, model, DETAILS)
    assert weights != (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="golden vectors"):
        load_model(tmp_path)


def test_a_newer_format_asks_for_a_newer_dragoman(folder: Path) -> None:
    edit_config(folder, format_version=10)
    with pytest.raises(UserError, match=r"has format version 10, but this dragoman reads up to 9. Upgrade"):
        load_model(folder)


def test_a_model_of_another_kind_is_named(folder: Path) -> None:
    edit_config(folder, model_type="clip")
    with pytest.raises(UserError, match="holds a model of type 'clip', expected 'dragoman-dual'"):
        load_model(folder)


@pytest.mark.parametrize(
    "content", ["", "[1]", "{", '{"model_type": "dragoman-dual", "format_version": "x"}']
)
def test_a_torn_config_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "ngrams.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"is incomplete or damaged .*{name}"):
        load_model(folder)


def test_a_folder_without_a_model_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no trained model .* dragoman train CORPUS --out RUN"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "ngrams.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_one_clear_error(folder: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"is incomplete or damaged .* Copy the whole folder again"):
        load_model(folder)


@pytest.mark.parametrize("at", range(0, 4000, 97))
def test_changed_bytes_never_escape_as_another_error(folder: Path, at: int) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[at] ^= 0x15
    path.write_bytes(content)
    try:
        load_model(folder)  # a weight that changed a little may pass
    except UserError as error:
        assert str(folder) in str(error)


def test_widths_that_differ_are_named(folder: Path) -> None:
    edit_config(folder, feature_width=13)
    with pytest.raises(UserError, match=r"incomplete or damaged .*size mismatch for feature_mean"):
        load_model(folder)


@pytest.mark.parametrize("key", ["dual", "text", "feature_width", "trained"])
def test_a_missing_entry_of_the_config_is_one_clear_error(folder: Path, key: str) -> None:
    path = folder / "config.json"
    without_checksums(path, **{key: None})
    with pytest.raises(UserError, match=rf"is incomplete or damaged \(KeyError: '{key}'\)"):
        load_model(folder)


@pytest.mark.parametrize("file", ["ngrams.json", "model.safetensors", "README.md", "config.json"])
def test_a_disk_that_fills_up_leaves_the_old_model_or_the_new(
    folder: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = dual()
    with torch.no_grad():
        better.text_head.linear.weight.mul_(-1)
    write = model_folder.atomic_path

    def full(target: Path) -> Any:
        if target.name == file:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return write(target)

    for module in ("dragoman.models.folder.atomic_path", "dragoman.folders.files.atomic_path"):
        monkeypatch.setattr(module, full)
    with pytest.raises(OSError, match="No space left"):
        save_model(folder, better, DETAILS)
    loaded = load_model(folder)[0].text_head.linear.weight
    sign = -1 if file in ("README.md", "config.json") else 1
    assert torch.equal(loaded, sign * dual().text_head.linear.weight)
