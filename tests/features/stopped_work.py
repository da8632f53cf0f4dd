"""Work on features that is stopped between two shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dragoman.features import texts as module


def stop_at_shard(monkeypatch: pytest.MonkeyPatch, number: int, texts: int) -> Callable[..., Iterator[Any]]:
    """Raise KeyboardInterrupt in the place of a shard, by its number from 0, where each holds so many texts;
    returns what makes shards without."""
    monkeypatch.setattr(module, "SHARD_TEXTS", texts)
    shards = module._shards

    def stopped(*given: Any) -> Iterator[Any]:
        for place, shard in enumerate(shards(*given)):
            if place == number:
                raise KeyboardInterrupt
            yield shard

    monkeypatch.setattr(module, "_shards", stopped)
    return shards
