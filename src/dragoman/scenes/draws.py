"""Random draws that are the same on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of draws named by its key: equal keys give equal streams."""

    # Python promises a stable `random.random()` only, not a stable `choice`; captions and their recorded
    # translations must never drift apart, so every draw here is a hash of key and position.

    def __init__(self, *key: object) -> None:
        self._key = "\x1f".join(map(str, key)).encode()
        self._position = 0

    def below(self, number: int) -> int:
        """A whole number in 0 … number - 1, for number far below 2**64."""
        self._position += 1
        digest = blake2b(self._key, digest_size=8, salt=self._position.to_bytes(8, "little")).digest()
        return int.from_bytes(digest, "little") % number

    def uniform(self, low: float, high: float) -> float:
        """A number in low … high, in steps of a millionth of the range."""
        return low + (high - low) * self.below(1_000_001) / 1_000_000

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.below(1_000_000) < probability * 1_000_000

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each equally likely."""
        return options[self.below(len(options))]
