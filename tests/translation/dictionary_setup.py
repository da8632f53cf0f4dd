"""Set-up of `dictionary` for the contract of engines: a table with some of the words of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dictd_files import write_table

ROWS = ("dog = cão", "runs = corre", "two = dois", "man = homem", "car = carro", "red = vermelho", "on = em")


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    yield f"dictionary:{write_table(folder / 'words.tsv', *ROWS)}"
