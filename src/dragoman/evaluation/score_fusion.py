"""Score fusion of two channels: weight x source + (1 - weight) x target.

The source channel scores the query's machine translation, the target channel the query itself. NRCCR scales
each channel to 0..1 over the whole query x gallery matrix (`matrix`); `query` scales each row by itself, and
`none` takes the scores as they are.

Q queries, G gallery entries, P positives, B queries of one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation.ranks import Positives, Ranks, blocks, rank_block
from dragoman.evaluation.scores import Scores

Normalisation = Literal["matrix", "query", "none"]
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
"""Weights of the source channel that are tried."""
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


class Channels:
    """Two channels over the same queries and gallery, on one scale. Nothing but blocks is held."""

    def __init__(self, source: Scores, target: Scores, normalisation: Normalisation) -> None:
        if source.shape != target.shape:
            raise UserError(
                f"The channels have shapes {source.shape} and {target.shape}. Fusion needs both to score the "
                "same queries against the same gallery."
            )
        if normalisation not in NORMALISATIONS:
            raise UserError(f"No normalisation {normalisation!r}. Known: {', '.join(NORMALISATIONS)}")
        self.source, self.target, self.normalisation = source, target, normalisation
        self.shape = source.shape

    @cached_property
    def _ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return _whole_range(self.source), _whole_range(self.target)

    def rows(self, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give normalised scores [B, G] of the source and of the target channel."""
        source, target = (c.rows(start, stop).astype(np.float64) for c in (self.source, self.target))
        if self.normalisation == "none":
            return source, target
        if self.normalisation == "query":
            return _scale_rows(source), _scale_rows(target)
        source_range, target_range = self._ranges
        return _scale(source, *source_range), _scale(target, *target_range)

    def at(self, weight: float) -> Scores:
        """Fuse the scores; `weight` 0 is the target channel alone and 1 the source channel alone."""
        return _Mixed(self, weight)


class _Mixed:
    def __init__(self, channels: Channels, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise UserError(f"The fusion weight must lie in 0..1, got {weight}")
        self.channels, self.weight, self.shape = channels, weight, channels.shape

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        return mix(*self.channels.rows(start, stop), self.weight)


def mix(source_BG: NDArray[np.float64], target_BG: NDArray[np.float64], weight: float) -> NDArray[np.float32]:
    """Mix as weight x source + (1 - weight) x target, rounded to float32 like all scores."""
    mixed: NDArray[np.float32] = (weight * source_BG + (1 - weight) * target_BG).astype(np.float32)
    return mixed


def sweep(channels: Channels, positives: Positives, weights: Sequence[float]) -> list[Ranks]:
    """Rank at every weight; the scores of both channels are computed once for all weights."""
    queries, gallery = channels.shape
    rho_WP = np.empty((len(weights), len(positives.index)))
    for start, stop in blocks(queries, gallery):
        source_BG, target_BG = channels.rows(start, stop)
        for weight, rho_P in zip(weights, rho_WP, strict=True):
            rank_block(mix(source_BG, target_BG, weight), start, positives, rho_P)
    no_hits = np.empty((queries, 0))
    return [
        Ranks(positives.start, rho_P, gallery, no_hits.astype(np.int64), no_hits.astype(np.float32))
        for rho_P in rho_WP
    ]


def _whole_range(scores: Scores) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for start, stop in blocks(*scores.shape):
        rows_BG = scores.rows(start, stop)
        low, high = min(low, float(rows_BG.min())), max(high, float(rows_BG.max()))
    return low, high


def _scale(scores_BG: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    # A constant channel tells nothing: it becomes zeros rather than a division by zero.
    return (scores_BG - low) / (high - low) if high > low else np.zeros_like(scores_BG)


def _scale_rows(scores_BG: NDArray[np.float64]) -> NDArray[np.float64]:
    low_B1, high_B1 = scores_BG.min(axis=1, keepdims=True), scores_BG.max(axis=1, keepdims=True)
    span_B1 = high_B1 - low_B1
    scaled: NDArray[np.float64] = (scores_BG - low_B1) / np.where(span_B1 > 0, span_B1, 1)
    return scaled
