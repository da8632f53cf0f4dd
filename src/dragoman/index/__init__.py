"""Indexes: media embedded once by a model, kept up to date, swapped whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman import lazy

if TYPE_CHECKING:
    from dragoman.index.job import IndexOptions, IndexReport, index_media

__all__ = ["IndexOptions", "IndexReport", "index_media"]
__getattr__ = lazy.attributes(__name__, {"job": __all__})
