"""Corpora: items, captions in many languages, and frozen features, in one folder."""

from dragoman.corpus.features import FeatureSet
from dragoman.corpus.store import Corpus

__all__ = ["Corpus", "FeatureSet"]
