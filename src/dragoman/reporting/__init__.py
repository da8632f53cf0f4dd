"""Reports: a run and a corpus in, figures with their uncertainty out; and reports compared."""

from dragoman.reporting.evaluation import evaluate
from dragoman.reporting.folds import evaluate_folds

__all__ = ["evaluate", "evaluate_folds"]
