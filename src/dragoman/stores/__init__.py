"""Vector stores behind one contract; the file name of a store is its name."""

from __future__ import annotations

from dragoman.stores.contract import STORES, Match, Store
from dragoman.stores.filters import Filter, parse

SHARED = ("as_json", "best", "checks", "contract", "embedded", "filters", "servers")
"""Modules that stores share; every other one is a store."""

__all__ = ["STORES", "Filter", "Match", "Store", "parse"]
