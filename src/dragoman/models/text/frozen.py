"""A frozen sentence encoder as a trunk: one state a text, its vector.

Training looks vectors up that were made once (`dragoman features --texts`), and never loads the encoder. The
model folder says which encoder it was; whoever asks the model loads it.

T texts, H width of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dragoman.models.text import TextConfig
from dragoman.models.text.contract import Material, TextEncoder
from dragoman.models.text.vectors import FrozenVectors, read_encoder, write_encoder

BLOCK = 8192
"""Texts whose vectors are in memory at a time, while they are measured."""


@dataclass(frozen=True, kw_only=True)
class FrozenTextConfig(TextConfig):
    """Choice of an encoder, by the vectors that it has made."""

    features: str
    """Name of a set of vectors of the corpus's texts (`dragoman features --texts`)."""
    own: bool = False
    """Take the encoder's own vector alone, where the set has the mean of its token states beside it."""

    @property
    def max_tokens(self) -> int:
        return 1

    @classmethod
    def from_text(cls, text: str) -> FrozenTextConfig | None:
        """Return the set that `frozen:NAME` names; None for any other text."""
        return cls(features=text.removeprefix("frozen:")) if text.startswith("frozen:") else None


class FrozenText(TextEncoder):
    """The vector of a text as its only state, standardised by the training texts. Nothing of it learns."""

    config: FrozenTextConfig
    by_length = False
    vector_mean: Tensor
    vector_scale: Tensor

    def __init__(self, config: FrozenTextConfig, frozen: FrozenVectors) -> None:
        super().__init__()
        self.config, self.frozen, self.tokenizer = config, frozen, None
        self.width = frozen.own_width if config.own else frozen.width
        self.register_buffer("vector_mean", torch.zeros(self.width))
        self.register_buffer("vector_scale", torch.ones(self.width))

    @classmethod
    def fresh(cls, config: FrozenTextConfig, material: Material) -> FrozenText:
        kept = material.kept(config.features)
        found = cls(config, FrozenVectors(kept.made_by, kept))
        found.standardise(iter(sorted(set(material.texts()))))
        return found

    def standardise(self, texts: Iterator[str]) -> None:
        """Let the vectors of `texts` have mean 0 and deviation 1 in each component."""
        total, squares, count = np.zeros(self.width), np.zeros(self.width), 0
        while block := list(islice(texts, BLOCK)):
            vectors = self._vectors(block).astype(np.float64)
            total, squares = total + vectors.sum(0), squares + np.square(vectors).sum(0)
            count += len(block)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        self.vector_mean.copy_(torch.from_numpy(mean))
        # A constant component has deviation 0, and its rounding must not become a signal.
        self.vector_scale.copy_(torch.from_numpy(1 / np.maximum(deviation, 1e-4)))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [1] * len(texts)

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        return self.frozen.side.tokens(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self.frozen.side.reads(texts)

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`vectors` [T, 1, H] as they are stored, and `mask` [T, 1]."""
        vectors = torch.from_numpy(self._vectors(texts)).unsqueeze(1)
        return {"vectors": vectors, "mask": torch.ones(len(vectors), 1, dtype=torch.bool)}

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[T, H]"""
        return self.frozen.vectors(texts)[:, : self.width]

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["vectors"]

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return (embedded - self.vector_mean) * self.vector_scale

    def save_assets(self, folder: Path) -> None:
        write_encoder(folder, asdict(self.config), self.frozen)

    @classmethod
    def from_assets(cls, folder: Path) -> FrozenText:
        settings, frozen = read_encoder(folder)
        return cls(FrozenTextConfig(**settings), frozen)


Config = FrozenTextConfig
Encoder = FrozenText
