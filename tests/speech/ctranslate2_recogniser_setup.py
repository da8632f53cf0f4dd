"""Set-up of `ctranslate2` for the contract of recognisers: a tiny Whisper of random weights, converted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_whisper import convert_tiny

from dragoman.speech.recognisers import ctranslate2


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("ctranslate2", reason="needs dragoman[speech]")
    # Random weights find no end.
    patch.setattr(ctranslate2, "MOST_TOKENS", 6)
    yield str(convert_tiny(folder / "tiny"))
