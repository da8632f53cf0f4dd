"""Similarity scores, some rows at a time: the whole query x gallery matrix need never be held.

Q queries, G gallery entries, B queries of one block, D embedding width.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError

GRID_BITS = 25
# Unit vectors whose norm is 1 + rounding must not be scaled down by two, which would cost a bit.
HEADROOM = 1.5


class Scores(Protocol):
    """A query x gallery matrix of float32 scores that gives its rows on request; higher is better."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give the scores [B, G] of queries `start` up to, not including, `stop`."""


class MatrixScores:
    """Scores given as one matrix [Q, G]."""

    def __init__(self, scores_QG: ArrayLike) -> None:
        given = np.asarray(scores_QG)
        if given.ndim != 2 or 0 in given.shape:
            raise UserError(
                f"Scores of shape {given.shape} given; expected [queries, gallery], both above 0."
            )
        try:
            with np.errstate(over="raise"):
                self._scores_QG = given.astype(np.float32, copy=False)
        except FloatingPointError as error:
            raise UserError(
                "Some scores are too large for float32. Scale them down before ranking."
            ) from error
        self.shape = (given.shape[0], given.shape[1])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        return self._scores_QG[start:stop]


class DotScores:
    """Dot products of embeddings [Q, D] and [G, D], the same to the last bit on every machine.

    Raises UserError for vectors that are not finite, or of unequal width.
    """

    # BLAS may round one product differently depending on where it stands in a block, which would split true
    # ties and make ranks depend on the block size. So the vectors are rounded to a grid of 2**-25 of their
    # largest norm: a float64 product of such vectors never exceeds 53 bits, hence is exact in any order of
    # summation, and only its final rounding to float32 remains. The grid is finer than float32 scores are.

    def __init__(self, queries_QD: NDArray[np.floating], gallery_GD: NDArray[np.floating]) -> None:
        _require_vectors(queries_QD, "queries")
        _require_vectors(gallery_GD, "gallery")
        if queries_QD.shape[1] != gallery_GD.shape[1]:
            raise UserError(
                f"Queries are {queries_QD.shape[1]} wide and the gallery {gallery_GD.shape[1]}; equal widths "
                "were expected. Encode both with the same model."
            )
        self.shape = (len(queries_QD), len(gallery_GD))
        self._queries_QD = queries_QD
        self._query_unit = _grid_unit(queries_QD)
        self._gallery_unit = _grid_unit(gallery_GD)
        self._gallery_GD = _on_grid(gallery_GD, self._gallery_unit)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        queries_BD = _on_grid(self._queries_QD[start:stop], self._query_unit)
        scores_BG = queries_BD @ self._gallery_GD.T
        # Both units are powers of two, so this scaling is exact as well.
        scores_BG *= self._query_unit * self._gallery_unit
        return scores_BG.astype(np.float32)


def _require_vectors(vectors: NDArray[np.floating], name: str) -> None:
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise UserError(f"The {name} have shape {vectors.shape}; expected [n, width], both above 0.")
    if not np.isfinite(vectors).all():
        bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise UserError(
            f"The {name} hold NaN or infinity, first in row {bad}. Such vectors cannot be ranked."
        )


def _grid_unit(vectors_ND: NDArray[np.floating]) -> float:
    norms_N = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND, dtype=np.float64))
    largest = float(norms_N.max())
    scale = 2.0 ** np.ceil(np.log2(largest / HEADROOM)) if largest > 0 else 1.0
    return float(scale * 2.0**-GRID_BITS)


def _on_grid(vectors_ND: NDArray[np.floating], unit: float) -> NDArray[np.float64]:
    grid_ND = vectors_ND.astype(np.float64)
    grid_ND /= unit
    return np.rint(grid_ND, out=grid_ND)
