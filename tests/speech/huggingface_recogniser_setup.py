"""Set-up of `huggingface` for the contract of recognisers: a tiny Whisper of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_whisper import save_tiny

from dragoman.speech.recognisers import huggingface


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    # Random weights find no end.
    patch.setattr(huggingface, "MOST_TOKENS", 6)
    yield str(save_tiny(folder / "tiny"))
