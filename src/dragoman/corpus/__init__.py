"""Corpora: items, captions in many languages, and frozen features, in one folder."""

from dragoman.corpus.features import FeatureSet
from dragoman.corpus.store import Corpus
from dragoman.corpus.triples import Triples, triples

__all__ = ["Corpus", "FeatureSet", "Triples", "triples"]
