"""How the contract opens the store `faiss`: approximate from 40 entries on, with all of them found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def settings() -> Iterator[dict[str, Any]]:
    pytest.importorskip("faiss", reason="needs dragoman[faiss]")
    yield {"least": 40, "recall": 1.0, "candidates": 10}
