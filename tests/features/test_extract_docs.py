"""The examples of docs/features.md give what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

from tiny_towers import picture, save_corpus, save_tower

from dragoman.features.extract import extract_features

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_examples_of_the_page_are_true(tmp_path: Path) -> None:
    tower = save_tower(tmp_path / "tower", "clip")
    corpus = save_corpus(tmp_path / "corpus", {"b": "b.png"})
    for seed, name in enumerate("abc"):
        picture(seed).save(corpus / f"{name}.png")
    extract_features(corpus, encoder=tower, name="eyes")
    save_corpus(corpus, {"a": "a.png", "b": "b.png", "c": "c.png", "gone": "gone.png"})
    found = doctest.testfile(str(PAGE), module_relative=False, globs={"corpus": corpus, "tower": tower})
    assert (found.failed, found.attempted) == (0, 11)
