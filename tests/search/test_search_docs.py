"""The examples of docs/index.md and docs/search.md give what the pages say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import toy_model
from toy_model import save_model, save_picture

PAGES = Path(__file__).parents[2] / "docs"


def test_the_examples_of_the_pages_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.install(monkeypatch)
    photos = tmp_path / "photos"
    for colour in ("red", "green", "blue"):
        save_picture(photos / f"{colour}.png", colour)
    (photos / "empty.png").touch()
    shared = {"run": save_model(tmp_path / "run"), "photos": photos, "index": tmp_path / "index"}
    for page, examples in (("index.md", 4), ("search.md", 10)):
        found = doctest.testfile(str(PAGES / page), module_relative=False, globs=dict(shared))
        assert (found.failed, found.attempted) == (0, examples), page
