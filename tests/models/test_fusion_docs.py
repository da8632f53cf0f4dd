"""The examples of docs/fusion.md give what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

from test_rerank import fused
from tiny_duals import DETAILS
from tiny_towers import save_photo_corpus, save_tower

from dragoman.corpus.corpus import Corpus
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.models.folder import save_model
from dragoman.retrievers.trained import Retriever

PAGE = Path(__file__).parents[2] / "docs" / "fusion.md"


def test_the_examples_of_the_page_are_true(tmp_path: Path) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 3)
    extract_features(
        corpus, encoder=save_tower(tmp_path / "tower", "clip"), name="cells", options=ExtractOptions(grid=2)
    )
    save_model(tmp_path / "run" / "model", fused(8, 5), DETAILS | {"features": "cells"})
    known = {"corpus": Corpus.open(corpus), "retriever": Retriever.load(tmp_path / "run")}
    found = doctest.testfile(str(PAGE), module_relative=False, globs=known)
    assert (found.failed, found.attempted) == (0, 3)
