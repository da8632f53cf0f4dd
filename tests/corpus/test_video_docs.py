"""The examples of docs/video.md give what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np

from dragoman.corpus import BuildOptions, GivenFrames, build_records
from dragoman.records import Item

PAGE = Path(__file__).parents[2] / "docs" / "video.md"


def test_the_examples_of_the_page_are_true(tmp_path: Path) -> None:
    (tmp_path / "i3d").mkdir()
    np.save(tmp_path / "i3d" / "talk.npy", np.array([[1.0, 2], [3, 4], [5, 6]]))
    np.save(tmp_path / "i3d" / "wink.npy", np.array([[7.0, 8]]))
    items = [Item(item_id=name, split="train", kind="video") for name in ("talk", "wink")]
    options = BuildOptions(features=(GivenFrames(path=tmp_path / "i3d"),))
    corpus = build_records(items, [], tmp_path / "corpus", options).corpus.folder
    found = doctest.testfile(str(PAGE), module_relative=False, globs={"corpus": corpus})
    assert (found.failed, found.attempted) == (0, 7)
