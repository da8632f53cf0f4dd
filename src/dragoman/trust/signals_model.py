"""Signals of a trained model: does the translation fit the picture, and its source, as well as it should?

N captions, J joint width. The model is handed in by the caller; this package trains and loads none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.retrievers.base import Model
from dragoman.trust.evidence import Translation

PROBES = 32
"""Captions by whose vectors a model is known again."""


class ModelSignals:
    """The signals `image` and `meaning` of captions in the languages that a model was trained on."""

    def __init__(self, model: Model, corpus: Corpus) -> None:
        self._model = model
        self._languages = {model.config["source"], *model.config["targets"]}
        name = model.config.get("features")
        if not name:
            raise UserError("The model names no feature set, so it cannot see the pictures. Train it again.")
        self._features: FeatureSet = corpus.features(name)

    def of(self, judged: Sequence[Translation]) -> Mapping[str, list[float | None]]:
        """`image` in -2..2 and `meaning` in -1..1, high is good; None for languages the model does not know.

        image = cos(translation, picture) - cos(source, picture), meaning = cos(source, translation).
        """
        found: dict[str, list[float | None]] = {name: [None] * len(judged) for name in ("image", "meaning")}
        rows = [row for row, t in enumerate(judged) if {t.lang, t.source_lang} <= self._languages]
        if rows:
            source_NJ, text_NJ, image_NJ = self._vectors([judged[row] for row in rows])
            meaning_N = np.sum(source_NJ * text_NJ, axis=1)
            image_N = np.sum((text_NJ - source_NJ) * image_NJ, axis=1)
            for row, image, meaning in zip(rows, image_N, meaning_N, strict=True):
                found["image"][row], found["meaning"][row] = float(image), float(meaning)
        return found

    def fingerprint(self, judged: Sequence[Translation]) -> str:
        """Another one for another model: a hash of what it makes of some captions and pictures."""
        vectors = np.concatenate(self._vectors(judged[:PROBES]))
        return hashlib.sha256(vectors.round(4).tobytes()).hexdigest()

    def _vectors(self, judged: Sequence[Translation]) -> tuple[NDArray[np.float32], ...]:
        rows = self._features.rows([t.item_id for t in judged])
        return (
            self._model.encode_text([t.source for t in judged]),
            self._model.encode_text([t.text for t in judged]),
            self._model.encode_features(np.asarray(self._features.whole(rows))),
        )
