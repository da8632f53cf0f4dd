"""From cosines to an estimated probability that a hit answers the query.

K hits, J width of the vectors, B background images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.records import Hit


class Calibration:
    """What `dragoman calibrate` learnt."""

    @classmethod
    def read(cls, file: Path) -> Calibration:
        """Read `calibration.json`. Raises UserError where it is damaged."""
        raise NotImplementedError

    def judged(self, hits: Sequence[Hit], vector_J: NDArray[np.float32], lang: str) -> tuple[list[Hit], bool]:
        """The hits with their relevance, and whether any of them is likely to answer the query."""
        raise NotImplementedError
