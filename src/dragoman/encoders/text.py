"""What every text encoder offers: texts in, token states and mask out.

T texts, L tokens of the longest text in the batch, H width of the states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn


class TextEncoder(nn.Module, ABC):
    """A trunk that turns texts into contextual token states. Pooling and heads live in the dual encoder.

    Case and accents are kept. States of one text must not depend on its batch-mates or on padding.
    """

    width: int
    """H."""

    @abstractmethod
    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, for length bucketing."""

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """CPU tensors of one padded batch; `mask` is boolean [T, L], true at real tokens.

        Every text has at least one token, also an empty one. Pure Python and NumPy work: it may run in
        another thread.
        """

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Token states [T, L, H] of what `prepare` returned, moved to the device."""

    @abstractmethod
    def save_assets(self, folder: Path) -> None:
        """Write what the weights do not hold (vocabulary, configuration) into `folder`."""
