"""Exact search of a folder: the default, for up to a million pictures on one computer.

Needs nothing.

Entries lie in SQLite, vectors in a file that is mapped into memory, which the system may drop at any time.
Beside it, a search needs some 10 MB for scores, and a byte for each entry where there is a filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError
from dragoman.stores.contract import Store
from dragoman.stores.embedded.rows import Precision, check_precision
from dragoman.stores.embedded.store import EmbeddedStore


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the exact index."""

    wait: float = 10.0
    """Seconds that a write waits for one of another process."""
    precision: Precision = "float32"
    """Numbers of a stored vector: `float32`, or `float16` or `int8` for a half or a quarter of the place."""

    def __post_init__(self) -> None:
        if not self.wait >= 0:
            raise UserError(f"wait must be 0 or more seconds, got {self.wait}")
        check_precision(self.precision)


def open_store(folder: Path, config: Config, width: int, name: str, make: bool = True) -> Store:
    """Open the index in a folder of its own, or `make` one; another index has another `name`."""
    return EmbeddedStore(folder, width, config.wait, name, make, config.precision)


def drop_store(folder: Path, config: Config, name: str) -> None:
    """Nothing lies outside the folder."""
