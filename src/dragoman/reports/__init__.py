"""Reports: a run and a corpus in, figures with their uncertainty out; and reports compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.reports.evaluation import evaluate
    from dragoman.reports.folds import evaluate_folds

__all__ = ["evaluate", "evaluate_folds"]


def __getattr__(name: str) -> Any:
    # The pages of a report import its parts, and `evaluate` imports the pages.
    if name == "evaluate":
        from dragoman.reports.evaluation import evaluate

        return evaluate
    if name == "evaluate_folds":
        from dragoman.reports.folds import evaluate_folds

        return evaluate_folds
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
