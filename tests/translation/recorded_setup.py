"""Set-up of `recorded` for the contract of engines: a file with the lines of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from translation_world import LINES


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps({"text": x, "translation": x.upper()}) + "\n" for x in LINES))
    yield f"recorded:{path}"
