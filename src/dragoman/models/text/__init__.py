"""Text encoders that learn: texts in, token states out; one file per kind, found by its name.

A kind is a module of this package with

    Config     its settings: a frozen dataclass that extends `TextConfig`
    Encoder    its `TextEncoder` (`contract.py`), which is made of them

The name of the file stands in configurations of runs and in model folders. Frozen encoders, which give one
vector a text, are in `models/sentences/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dragoman import plugins

SHARED = ("contract", "spelling")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Settings of a text encoder."""

    grows: ClassVar[bool] = False
    """True where the vocabulary is fitted, so that `TextEncoder.extended` can add to it."""

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


def name_of(part: object) -> str:
    """Name the kind of settings or of an encoder."""
    return next(name for name in kinds() if isinstance(part, (load(name).Config, load(name).Encoder)))
