"""Set-up of `transformers` for the contract of engines: a tiny model of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import make


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("torch", reason="models need dragoman[train]")
    yield f"transformers:{make('nllb', folder / 'model')}"
