"""The module that the folder names, called as sentence-transformers does, which need not be installed."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import torch


def encode_text(folder: Path, texts: list[str]) -> np.ndarray:
    (module,) = json.loads((folder / "modules.json").read_text())
    package, _, name = module["type"].rpartition(".")
    loaded = getattr(import_module(package), name).load(str(folder), module["path"], token=None).eval()
    with torch.inference_mode():
        found: np.ndarray = loaded(loaded.preprocess(texts))["sentence_embedding"].numpy()
    return found
