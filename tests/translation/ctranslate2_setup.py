"""Set-up of `ctranslate2` for the contract of engines: a tiny model of random weights, converted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import make


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    converters = pytest.importorskip("ctranslate2", reason="needs dragoman[ctranslate2]").converters
    model = make("nllb", folder / "model")
    converters.TransformersConverter(str(model)).convert(str(folder / "fast"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "fast" / name).write_bytes((model / name).read_bytes())
    yield f"ctranslate2:{folder / 'fast'}"
