from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import export_world  # noqa: F401
import pytest
import torch
from tiny_towers import save_tower

from dragoman.errors import UserError
from dragoman.export.onnx.inputs import preprocessing_of
from dragoman.models.vision import VisionTower
from dragoman.retrievers.onnx_inputs import Preprocessing


def tower(folder: Path, **settings: Any) -> VisionTower:
    file = save_tower(folder, "vit") / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return VisionTower.load(folder)


def test_it_is_read_off_the_processor_of_the_tower(tmp_path: Path) -> None:
    assert preprocessing_of(tower(tmp_path)) == Preprocessing(
        size=(32, 32), resample=2, mean=(0.5, 0.4, 0.3), deviation=(0.5, 0.6, 0.7)
    )


def test_a_processor_that_does_something_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tower(tmp_path)
    prepare = seen.prepare
    monkeypatch.setattr(
        seen, "prepare", lambda image: {"pixel_values": prepare(image)["pixel_values"] + 1e-3}
    )
    with pytest.raises(UserError, match=r"\(ViTImageProcessor\) .*: its values differ by up to 0\.001"):
        preprocessing_of(seen)


def test_a_processor_that_gives_more_than_pixels_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tower(tmp_path)
    prepare = seen.prepare
    monkeypatch.setattr(seen, "prepare", lambda image: prepare(image) | {"spatial_shapes": torch.zeros(1, 2)})
    with pytest.raises(UserError, match="it gives pixel_values, spatial_shapes, not pixel_values alone"):
        preprocessing_of(seen)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"do_resize": False}, "Neither size nor crop is given"),
        ({"size": {"longest_edge": 32}}, "'height'"),
    ],
)
def test_a_processor_that_cannot_be_described_is_named(
    tmp_path: Path, told: dict[str, Any], message: str
) -> None:
    seen = tower(tmp_path)
    seen.preprocessing |= told
    with pytest.raises(UserError, match=rf"\(ViTImageProcessor\) cannot be done without .*{message}"):
        preprocessing_of(seen)
