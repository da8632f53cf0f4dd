"""Text encoders that learn: texts in, token states out; one file per kind, found by its name.

A kind is a module of this package with

    Config     its settings: a frozen dataclass that extends `TextConfig`
    Encoder    its `TextEncoder` (`contract.py`), which is made of them

The name of the file stands in configurations of runs and in model folders. Frozen encoders, which give one
vector a text, are in `models/sentences/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dragoman import plugins

SHARED = ("contract", "glosses", "spelling", "vectors")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Settings of a text encoder."""

    grows: ClassVar[bool] = False
    """True where the vocabulary is fitted, so that `TextEncoder.extended` can add to it."""
    by_language: ClassVar[bool] = False
    """True where languages have parts of their own, so that the language of a text must be told."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a text at most; longer texts are cut."""
        raise NotImplementedError

    @classmethod
    def from_text(cls, text: str) -> TextConfig | None:
        """Return the settings that one word stands for, as `hf:PATH` does; None for any other text."""
        if cls is not TextConfig:
            return None
        found = (load(name).Config.from_text(text) for name in kinds())
        return next((config for config in found if config is not None), None)


def kinds() -> list[str]:
    """List the kinds of text encoders by their names."""
    return plugins.names(__name__)


def load(kind: str) -> Any:
    """Import a kind. Raises UserError for one that is not known."""
    return plugins.load(__name__, kind, "text encoder")


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Lay the token ids of texts below one another: ids and mask [T, L]."""
    # On the right, whatever a tokenizer would do: the positions of a text then begin with the same number in
    # every batch.
    mask = np.zeros((len(rows), max(map(len, rows), default=0)), bool)
    ids = np.full(mask.shape, pad_id, np.int64)
    for row, found in enumerate(rows):
        ids[row, : len(found)] = found
        mask[row, : len(found)] = True
    return ids, mask


def name_of(part: object) -> str:
    """Name the kind of settings or of an encoder."""
    return next(name for name in kinds() if isinstance(part, (load(name).Config, load(name).Encoder)))
