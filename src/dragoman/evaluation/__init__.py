"""Ranks, retrieval metrics, consistency, score fusion and significance; NumPy only."""

from dragoman.evaluation.consistency import Joined, Ranked, common_ids, join_ranks, mean_rank_variance
from dragoman.evaluation.metrics import Metric, mean_recall, retrieval_metrics, sum_r, summarise
from dragoman.evaluation.ranks import Positives, Ranks, rank_queries, rank_scores
from dragoman.evaluation.reranking import rerank
from dragoman.evaluation.scores import DotScores, MatrixScores
from dragoman.evaluation.significance import Estimate, hierarchical_interval, t_interval

__all__ = [
    "DotScores",
    "Estimate",
    "Joined",
    "MatrixScores",
    "Metric",
    "Positives",
    "Ranked",
    "Ranks",
    "common_ids",
    "hierarchical_interval",
    "join_ranks",
    "mean_rank_variance",
    "mean_recall",
    "rank_queries",
    "rank_scores",
    "rerank",
    "retrieval_metrics",
    "sum_r",
    "summarise",
    "t_interval",
]
