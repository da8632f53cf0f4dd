"""Match scores of a fusion encoder for the row `reranked`: each pair of text and image once.

N pairs, R regions of an image, D width of the vision vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.progress import bar

VALUES = 2**24
"""Values of regions that are held at a time: 32 MB as float16."""


class FusionModel(Protocol):
    """What re-ranking needs of `dragoman.Retriever`."""

    @property
    def regions(self) -> int:
        """R; 0 where the model has no fusion encoder."""

    def rerank(
        self, texts: Sequence[str], regions: NDArray[np.floating], pairs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[N] match scores of texts with regions [images, R, D], named by `pairs` [N, 2]."""


class Matcher:
    """Scores pairs of texts and items of a feature set, and remembers them.

    Both directions and all galleries of a report ask for many of the same pairs; a pair that was scored
    twice, among other batch-mates, could differ from itself in the last bits.
    """

    def __init__(self, model: FusionModel, features: FeatureSet) -> None:
        if not getattr(model, "regions", 0):
            raise UserError(
                "This model has no fusion encoder, so it cannot re-rank. Evaluate it without --rerank, or "
                "train one: dragoman train CORPUS --recipe one_to_k --set loss.mitm_weight=1"
            )
        if model.regions != features.regions:
            raise UserError(
                f"{features.folder} holds {features.regions} vectors an image, but the fusion encoder reads "
                f"{model.regions}. Give the feature set that it was trained on: --features NAME"
            )
        self._model, self._features = model, features
        self._texts: dict[str, int] = {}
        self._key_N: NDArray[np.int64] = np.empty(0, np.int64)
        self._score_N: NDArray[np.float32] = np.empty(0, np.float32)

    def scores(self, texts_N: Sequence[str], items_N: Sequence[str]) -> NDArray[np.float32]:
        """[N] match logit less no-match logit of each text with each item."""
        text_N = np.array([self._texts.setdefault(text, len(self._texts)) for text in texts_N], np.int64)
        key_N = text_N * len(self._features.ids) + self._features.rows(items_N)
        self._learn(np.setdiff1d(key_N, self._key_N))
        found: NDArray[np.float32] = self._score_N[np.searchsorted(self._key_N, key_N)]
        return found

    def _learn(self, new_N: NDArray[np.int64]) -> None:
        """Score new keys, which are sorted by text."""
        size = max(1, VALUES // (self._features.regions * self._features.width))
        texts = list(self._texts)
        parts = [self._score_N]
        with bar(len(new_N), "Re-ranking", "pairs") as progress:
            for start in range(0, len(new_N), size):
                text_N, row_N = np.divmod(new_N[start : start + size], len(self._features.ids))
                asked, text_place_N = np.unique(text_N, return_inverse=True)
                rows, row_place_N = np.unique(row_N, return_inverse=True)
                pairs = np.stack([text_place_N, row_place_N], axis=1)
                regions = self._features.parts(rows)
                parts.append(self._model.rerank([texts[text] for text in asked], regions, pairs))
                progress.update(len(pairs))
        joined_N = np.concatenate([self._key_N, new_N])
        order = np.argsort(joined_N, kind="stable")
        self._key_N, self._score_N = joined_N[order], np.concatenate(parts)[order]
