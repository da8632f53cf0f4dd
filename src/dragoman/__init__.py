"""Dragoman: search of images and videos in languages in which nobody captioned them."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from dragoman import lazy

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

# What these need is heavy.
__getattr__ = lazy.attributes(
    __name__,
    {
        "pipelines.evaluate": ("evaluate", "evaluate_folds"),
        "reports.settings": ("EvaluationSettings",),
        "retrievers.trained": ("Retriever",),
        "search.query": ("Query",),
        "search.searcher": ("Searcher",),
    },
)
