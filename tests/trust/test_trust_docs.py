"""The examples of docs/trust.md give what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "trust.md"


def test_the_examples_of_the_page_are_true() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert (result.failed, result.attempted) == (0, 9)


def test_the_page_names_every_signal_and_kind_of_noise() -> None:
    from dragoman.trust.calibration import GOOD
    from dragoman.trust.noise import KINDS

    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in (*GOOD, *KINDS) if f"| `{name}` |" not in page] == []
