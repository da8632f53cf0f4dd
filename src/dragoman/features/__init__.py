"""Frozen vision vectors of a corpus, by one resumable job. Nothing heavy is imported until it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman import lazy

if TYPE_CHECKING:
    from dragoman.features.extract import ExtractionReport, ExtractOptions, extract_features

__all__ = ["ExtractOptions", "ExtractionReport", "extract_features"]
__getattr__ = lazy.attributes(__name__, {"extract": __all__})
