"""What docs/stores.md says is so."""

from __future__ import annotations

import doctest
import re
from dataclasses import fields
from pathlib import Path

from dragoman import plugins
from dragoman.stores import STORES, exact, faiss
from dragoman.stores.embedded import store as embedded

PAGE = Path(__file__).parents[2] / "docs" / "stores.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_examples_of_the_page_are_true(tmp_path: Path) -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, globs={"folder": tmp_path / "index"})
    assert (found.failed, found.attempted) == (0, 9)


def test_every_store_is_on_the_page() -> None:
    listed = re.findall(r"^\| `(\w+)` \|.*\|.*\|$", TEXT.split("From Python")[0], re.MULTILINE)
    assert sorted(listed) == plugins.names(STORES)


def test_settings_of_faiss_and_their_defaults_are_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:([\d.]+)|`(\w+)`) \|", TEXT, re.MULTILINE)
    assert {name: float(number) if number else word for name, number, word in rows} == {
        one.name: one.default for one in fields(faiss.Config)
    }
    assert f"waits up to `wait` seconds ({exact.Config().wait:g})" in TEXT
    assert f"no less than {embedded.COMPACT_AFTER:,}" in TEXT
