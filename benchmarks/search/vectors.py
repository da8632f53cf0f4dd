"""Unit vectors that lie as those of an encoder do: in clusters, within a space of fewer dimensions.

A point is the centre of one of `clusters` clusters plus noise, both drawn in 64 dimensions whose spread falls
like that of principal components, turned into `width` dimensions, with a little noise in all of them, and
divided by its length. Cluster sizes fall as 1/rank. Queries are further points of the same world, with more
noise, as texts are to images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

INNER = 64
CHUNK = 50_000


class World:
    """Source of vectors; equal arguments give equal vectors."""

    def __init__(self, width: int, clusters: int = 2000, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.spread = (1 / np.sqrt(1 + np.arange(INNER))).astype(np.float32)
        self.centres = draw.standard_normal((clusters, INNER), np.float32) * self.spread
        turned, _ = np.linalg.qr(draw.standard_normal((width, INNER)))
        self.turn = turned.T.astype(np.float32)
        share = 1 / (1 + np.arange(clusters))
        self.share = share / share.sum()

    def draw(self, count: int, seed: int, noise: float = 0.5) -> np.ndarray:
        """Unit vectors [count, width]."""
        draw = np.random.default_rng(seed)
        inner = self.centres[draw.choice(len(self.centres), count, p=self.share)]
        inner = inner + noise * draw.standard_normal((count, INNER), np.float32) * self.spread
        rows = inner @ self.turn
        rows += 0.02 * draw.standard_normal(rows.shape, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def chunks(self, count: int) -> Iterator[np.ndarray]:
        """The collection, in parts that memory holds."""
        for start in range(0, count, CHUNK):
            yield self.draw(min(CHUNK, count - start), seed=1000 + start // CHUNK)

    def queries(self, count: int) -> np.ndarray:
        return self.draw(count, seed=1, noise=0.8)
