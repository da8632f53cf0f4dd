"""Frozen vision vectors of a corpus, by one resumable job. Nothing heavy is imported until it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.features.extract import ExtractionReport, ExtractOptions, extract_features

__all__ = ["ExtractOptions", "ExtractionReport", "extract_features"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from dragoman.features import extract

        return getattr(extract, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
