"""Vectors of a tiny folder of M-CLIP, made when they are looked up; the name of the set is the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import mclip_sentences_setup
import numpy as np
from numpy.typing import NDArray

from dragoman.models.sentences import load_text_side, mclip
from dragoman.models.text.frozen import FrozenTextConfig


class Kept:
    """Vectors as a set of them would give, rounded."""

    def __init__(self, folder: Path) -> None:
        self.side = load_text_side(folder)
        self.made_by = {
            "path": str(folder),
            "fingerprint": mclip.fingerprint(folder),
            "reading": asdict(self.side.reading),
            "width": self.side.width,
        }

    def holds(self, texts: Sequence[str]) -> list[bool]:
        return [True] * len(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.side.encode(texts).astype(np.float16).astype(np.float32)


def config(folder: Path) -> object:
    return FrozenTextConfig(features=str(mclip_sentences_setup.save(folder / "text")))


def kept(name: str) -> Kept:
    return Kept(Path(name))
