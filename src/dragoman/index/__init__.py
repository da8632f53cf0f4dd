"""Vector stores behind one contract; the file name of a backend is its name."""

from __future__ import annotations

from dragoman.index._backend import BACKENDS, Backend, Match
from dragoman.index._filters import Filter, parse

__all__ = ["BACKENDS", "Backend", "Filter", "Match", "parse"]
