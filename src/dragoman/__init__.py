"""Dragoman: search of images and videos in languages in which nobody captioned them."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.pipelines.evaluate import evaluate, evaluate_folds
    from dragoman.reports.settings import EvaluationSettings
    from dragoman.retrievers.trained import Retriever
    from dragoman.search.query import Query
    from dragoman.search.searcher import Searcher

__all__ = [
    "EvaluationSettings",
    "Query",
    "Retriever",
    "Searcher",
    "__version__",
    "evaluate",
    "evaluate_folds",
]
__version__ = metadata.version("dragoman")

_HOMES = {
    "EvaluationSettings": "dragoman.reports.settings",
    "Query": "dragoman.search.query",
    "Retriever": "dragoman.retrievers.trained",
    "Searcher": "dragoman.search.searcher",
    "evaluate": "dragoman.pipelines.evaluate",
    "evaluate_folds": "dragoman.pipelines.evaluate",
}


def __getattr__(name: str) -> Any:
    # What these need is heavy; importing it on first use keeps `import dragoman` light.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
