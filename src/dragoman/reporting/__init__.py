"""Reports: a run and a corpus in, figures with their uncertainty out; and reports compared."""

from dragoman.reporting.evaluation import evaluate

__all__ = ["evaluate"]
