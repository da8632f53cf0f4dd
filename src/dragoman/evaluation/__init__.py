"""Ranks, retrieval metrics, score fusion and significance; NumPy and SciPy only."""

from dragoman.evaluation.metrics import mean_recall, retrieval_metrics, sum_r, summarise
from dragoman.evaluation.ranks import Positives, Ranks, rank_queries, rank_scores
from dragoman.evaluation.scores import DotScores, MatrixScores

__all__ = [
    "DotScores",
    "MatrixScores",
    "Positives",
    "Ranks",
    "mean_recall",
    "rank_queries",
    "rank_scores",
    "retrieval_metrics",
    "sum_r",
    "summarise",
]
