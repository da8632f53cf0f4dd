"""Text and vision encoders. Nothing heavy is imported until one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.encoders.extract import ExtractionReport, extract_features

__all__ = ["ExtractionReport", "extract_features"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from dragoman.encoders import extract

        return getattr(extract, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
