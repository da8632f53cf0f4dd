"""Corpora: items, captions in many languages, and frozen features, in one folder."""

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
