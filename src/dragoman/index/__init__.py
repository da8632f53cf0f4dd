"""Indexes: media embedded once by a model, kept up to date, swapped whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.index.job import IndexOptions, IndexReport, index_media

__all__ = ["IndexOptions", "IndexReport", "index_media"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from dragoman.index import job

        return getattr(job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
