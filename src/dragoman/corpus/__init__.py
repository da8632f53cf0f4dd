"""Corpora: items, captions in many languages, and frozen features, in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman import lazy

if TYPE_CHECKING:
    from dragoman.corpus.build import (
        BuildReport,
        build_csv,
        build_folder,
        build_iiif,
        build_jsonl,
        build_records,
        build_table,
    )
    from dragoman.corpus.captions import Captions, Translations
    from dragoman.corpus.corpus import Corpus
    from dragoman.corpus.datasets import ReadOptions, build_dataset
    from dragoman.corpus.features import FeatureSet
    from dragoman.corpus.given import GivenFeatures, GivenFrames
    from dragoman.corpus.options import BuildOptions

__all__ = [
    "BuildOptions",
    "BuildReport",
    "Captions",
    "Corpus",
    "FeatureSet",
    "GivenFeatures",
    "GivenFrames",
    "ReadOptions",
    "Translations",
    "build_csv",
    "build_dataset",
    "build_folder",
    "build_iiif",
    "build_jsonl",
    "build_records",
    "build_table",
]
# Feature sets and corrections are read where no tables are.
__getattr__ = lazy.attributes(
    __name__,
    {
        "build": (
            "BuildReport",
            "build_csv",
            "build_folder",
            "build_iiif",
            "build_jsonl",
            "build_records",
            "build_table",
        ),
        "captions": ("Captions", "Translations"),
        "corpus": ("Corpus",),
        "datasets": ("ReadOptions", "build_dataset"),
        "features": ("FeatureSet",),
        "given": ("GivenFeatures", "GivenFrames"),
        "options": ("BuildOptions",),
    },
)
