"""Set-up of `apertium` for the contract of engines: a program with known faults in place of Apertium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from translation_world import install_fake_apertium


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in install_fake_apertium(folder).items():
        patch.setenv(name, value)
    yield "apertium:eng-spa|spa-por"
