"""Vector stores behind one contract; the file name of a backend is its name."""

from __future__ import annotations

from dragoman.stores.contract import BACKENDS, Backend, Match
from dragoman.stores.filters import Filter, parse

SHARED = ("best", "checks", "contract", "filters", "servers")
"""Modules that stores share; every other one is a store."""

__all__ = ["BACKENDS", "Backend", "Filter", "Match", "parse"]
