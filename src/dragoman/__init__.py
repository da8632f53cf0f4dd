"""Dragoman: search of images and videos in languages in which nobody captioned them."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.retrievers.trained import Retriever
    from dragoman.search.searcher import Searcher

__all__ = ["Retriever", "Searcher", "__version__"]
__version__ = metadata.version("dragoman")


def __getattr__(name: str) -> Any:
    # What these need is heavy; importing it on first use keeps `import dragoman` light.
    if name == "Retriever":
        from dragoman.retrievers.trained import Retriever

        return Retriever
    if name == "Searcher":
        from dragoman.search.searcher import Searcher

        return Searcher
    raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
