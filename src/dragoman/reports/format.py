"""The folders of reports, and the tables in them."""

from __future__ import annotations

from dragoman.folders import Format

REPORT = Format("dragoman-report", 1, "dragoman evaluate run/ corpus/ --languages pt,en --out {folder}")
FOLDS = Format("dragoman-folds", 1, "dragoman evaluate run/ corpus/ --folds --out {folder}")
QUERIES = "queries.parquet"
COMMON_QUERIES = "consistency.parquet"
"""Queries that several languages have in common, ranked among what they have in common."""
