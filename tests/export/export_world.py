"""Runs of tiny models to export: with a vision tower, on given vectors, and over a Hugging Face trunk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from tiny_duals import DETAILS, FEATURES, dual
from tiny_encoders import save_encoder
from tiny_towers import save_tower

from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.models.vision import VisionTower

SHAPE = {"joint": 16, "hidden": 16, "heads": 2, "key_width": 8}


def save_run(folder: Path, **details: Any) -> Path:
    """Trained on given vectors of width 12, without a layer in the trunk."""
    save_model(folder / "model", dual(), DETAILS | details)
    return folder


def save_seeing_run(root: Path, kind: str = "clip") -> Path:
    """`root/run`, trained on the vectors of the tower in `root/tower`; one layer in the trunk."""
    tower = VisionTower.load(save_tower(root / "tower", kind))
    torch.manual_seed(0)
    model = DualEncoder(DualConfig(**SHAPE), dual({"layers": 1}).trunk, tower.width)
    model.fit_features(torch.full((tower.width,), 0.1), torch.full((tower.width,), 0.5))
    vision = {"path": str(root / "tower"), "fingerprint": tower.fingerprint}
    save_model(root / "run" / "model", model.eval(), DETAILS | {"features": "eyes", "vision": vision})
    return root / "run"


def save_hugging_run(root: Path, kind: str = "xlm-roberta") -> Path:
    """`root/run` over a tiny encoder in `root/text`, which reads at most 7 tokens."""
    path = save_encoder(root / "text", kind)
    torch.manual_seed(0)
    trunk = HuggingFaceText.load(HuggingFaceTextConfig(path=str(path), max_length=7))
    model = DualEncoder(DualConfig(**SHAPE), trunk, FEATURES).eval()
    save_model(root / "run" / "model", model, DETAILS)
    return root / "run"
