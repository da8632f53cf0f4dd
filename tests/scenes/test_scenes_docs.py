"""The examples of docs/scenes.md give what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

from dragoman.scenes.grid import WIDTH
from dragoman.scenes.render import CLIP_SIDE, FRAMES, RATE

PAGE = Path(__file__).parents[2] / "docs" / "scenes.md"


def test_the_examples_of_the_page_are_true() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert (result.failed, result.attempted) == (0, 13)


def test_the_page_gives_the_width_of_the_features() -> None:
    assert f"`grid` holds {WIDTH:,} numbers a picture" in PAGE.read_text(encoding="utf-8")


def test_the_page_gives_the_size_of_a_clip() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"{FRAMES} frames of {CLIP_SIDE} × {CLIP_SIDE} pixels, {RATE} a second" in page
