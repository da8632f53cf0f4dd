"""Items as a model that reads descriptions is handed them: vision vectors, and beside them those of the
sentences of each description.

N items, R vision vectors of an item, D their width; M sentences, H width of their vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus import Corpus, FeatureSet
from dragoman.errors import UserError
from dragoman.features.kept_texts import KeptTexts

log = logging.getLogger(__name__)


class DescribedSet(FeatureSet):
    """A feature set whose `whole` gives [n, R D + M H]: NaN where an item has no further sentence."""

    def __init__(
        self,
        features: FeatureSet,
        kept: KeptTexts | None,
        texts: Mapping[str, list[str]],
        shape: tuple[int, int],
    ) -> None:
        """`texts` are the sentences of each item, by its id; `shape` is M, H."""
        super().__init__(features.folder, features.manifest)
        self._kept, self._shape = kept, shape
        self._texts = [texts.get(item_id, [])[: shape[0]] for item_id in self.ids]

    def whole(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        seen = super().parts(rows).reshape(len(rows), -1)
        sentences = np.full((len(rows), *self._shape), np.nan, seen.dtype)
        texts = [self._texts[row] for row in rows.tolist()]
        if self._kept is not None and any(texts):
            at = [(place, number) for place, some in enumerate(texts) for number in range(len(some))]
            vectors = self._kept.vectors([text for some in texts for text in some])
            sentences[tuple(np.array(at).T)] = vectors
        return np.concatenate([seen, sentences.reshape(len(rows), -1)], axis=1)


def read_by(corpus: Corpus, texts: str, sentences: int) -> dict[str, Any]:
    """Say how descriptions are read, as a model keeps it: by which set of vectors, made by which encoder, and
    how many sentences of each."""
    return {"features": texts, "sentences": sentences, **KeptTexts(corpus.features(texts)).made_by}


def with_descriptions(features: FeatureSet, corpus: Corpus, read: Mapping[str, Any] | None) -> FeatureSet:
    """Put the descriptions of a corpus beside its vision vectors, where a model reads them; `read` is what
    `read_by` said of it, None where it does not.

    A corpus without descriptions is seen without, which is told. Raises UserError for frames of videos, and
    where a sentence has no vector by the encoder of the model.
    """
    if read is None:
        return features
    if features.layout not in ("whole", "regions"):
        raise UserError(
            f"{features.folder} holds frames of videos, and descriptions stand beside images alone. Take a "
            "set without frames, or train without: --set descriptions=none"
        )
    told = corpus.select(role="description")
    found: dict[str, list[str]] = {}
    for item_id, text in zip(told.item_ids, told.texts, strict=True):
        found.setdefault(item_id, []).append(text)
    found = {item_id: texts[: read["sentences"]] for item_id, texts in found.items()}
    shape = (int(read["sentences"]), int(read["width"]))
    if not found:
        log.warning(
            "%s has no descriptions, which the model reads: images are seen without. Make some: "
            "dragoman describe %s",
            corpus.folder,
            corpus.folder,
        )
        return DescribedSet(features, None, {}, shape)
    kept = _kept(corpus, read)
    texts = [text for some in found.values() for text in some]
    missing = [text for text, held in zip(texts, kept.holds(texts), strict=True) if not held]
    if missing:
        raise UserError(
            f"{kept.features.folder} has no vector for {len(missing)} of {len(texts)} sentences of "
            f"descriptions, the first {missing[0]!r}. Make them: {_command(corpus, read)}"
        )
    return DescribedSet(features, kept, found, shape)


def _kept(corpus: Corpus, read: Mapping[str, Any]) -> KeptTexts:
    if (kept := KeptTexts.made_like(corpus, read)) is not None:
        return kept
    raise UserError(
        f"{corpus.folder} has descriptions, but no vectors of texts by the encoder by which the model reads "
        f"them. Make them: {_command(corpus, read)}"
    )


def _command(corpus: Corpus, read: Mapping[str, Any]) -> str:
    return f"dragoman features {corpus.folder} --texts --encoder {read['path']} --name {read['features']}"
