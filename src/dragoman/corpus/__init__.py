"""Corpora: items, captions in many languages, and frozen features, in one folder."""

from dragoman.corpus.build import (
    BuildReport,
    build_csv,
    build_folder,
    build_jsonl,
    build_records,
)
from dragoman.corpus.datasets import build_dataset
from dragoman.corpus.features import FeatureSet
from dragoman.corpus.given_features import GivenFeatures
from dragoman.corpus.given_frames import GivenFrames
from dragoman.corpus.options import BuildOptions
from dragoman.corpus.store import Corpus
from dragoman.corpus.triples import Triples, triples

__all__ = [
    "BuildOptions",
    "BuildReport",
    "Corpus",
    "FeatureSet",
    "GivenFeatures",
    "GivenFrames",
    "Triples",
    "build_csv",
    "build_dataset",
    "build_folder",
    "build_jsonl",
    "build_records",
    "triples",
]
