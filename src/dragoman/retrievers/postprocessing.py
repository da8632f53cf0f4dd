"""Corrections of vectors in a joint space that need no training: means of languages, and hubness.

A language stands as a whole beside the others, and what its mean scores is added to every score of its texts:
language centring moves the mean to that of the source language, whose texts and all images stay. CSLS
(Conneau et al., arXiv 1710.04087, section 2.3) takes from a score how near both sides are to anything.

N, T, I vectors, texts, images; M remembered vectors, J width of the space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.retrievers.base import Model, unit

if TYPE_CHECKING:
    from dragoman.corpus import Corpus, FeatureSet

Floats = NDArray[np.float32]
Value = TypeVar("Value")

MOST = 2_000
"""Captions of a language, and images, that are learned from at most."""
NEIGHBOURS = 10
UNKNOWN = "und"
"""Tag of a language that is not known."""
BLOCK = 4096
"""Vectors whose cosines are in memory at a time."""


def centred(vectors_NJ: Floats, mean_J: Floats, place_J: Floats | float = 0.0) -> Floats:
    """[N, J] unit vectors of texts, moved so that `mean_J` comes to lie at `place_J`."""
    return unit(np.asarray(vectors_NJ - mean_J + place_J, np.float32))


def nearness(vectors_NJ: Floats, others_MJ: Floats, neighbours: int = NEIGHBOURS) -> Floats:
    """[N] mean score of vectors with the nearest of others."""
    count = min(neighbours, len(others_MJ))
    found = [np.empty(0, np.float32)]
    for start in range(0, len(vectors_NJ), BLOCK):
        scores_NM = vectors_NJ[start : start + BLOCK] @ others_MJ.T
        found.append(np.partition(scores_NM, -count, axis=1)[:, -count:].mean(1))
    return np.concatenate(found)


def with_hubs(
    texts_TJ: Floats, images_IJ: Floats, near_T: Floats, near_I: Floats, part: float
) -> tuple[Floats, Floats]:
    """[T, J + 2] and [I, J + 2] whose dot products are those of the vectors, less `part` times the nearness
    of either."""
    one_T, one_I = np.ones_like(near_T), np.ones_like(near_I)
    texts = np.column_stack([texts_TJ, one_T, -part * near_T])
    return texts, np.column_stack([images_IJ, -part * near_I, one_I])


@dataclass(frozen=True, eq=False, kw_only=True)
class Corrections:
    """All that is remembered of the training captions and images of a model."""

    source: str
    means: Mapping[str, Floats]
    """[J] of the captions of each language, the source among them."""
    captions: Floats
    """[M, J] of all languages."""
    images: Floats
    """[M, J]"""

    @classmethod
    def learned(
        cls, model: Model, corpus: Corpus, features: FeatureSet, source: str, languages: Iterable[str]
    ) -> Corrections:
        """Encode captions and images of the split train, at most `MOST` of each language and of all images:
        what people wrote in the source language, and what machines wrote in the others.

        Raises UserError where the source has no captions there.
        """
        seen = corpus.with_vectors(features, "train")
        captions = {source: seen.select(role="human", lang=source, split="train").texts}
        for lang in languages:
            if lang != source:
                captions[lang] = seen.select(role="mt", lang=lang, split="train").texts
        if not captions[source]:
            raise UserError(
                f"Centring and CSLS learn from captions of the split train, and it has none in {source!r}."
            )
        found = {lang: model.encode_text(evenly(texts)) for lang, texts in captions.items() if texts}
        items = evenly(seen.split("train")["item_id"].to_pylist())
        return cls(
            source=source,
            means={lang: np.asarray(vectors.mean(0), np.float32) for lang, vectors in found.items()},
            captions=np.concatenate(list(found.values())),
            images=model.encode_features(np.asarray(features.whole(features.rows(items)))),
        )

    def centred(self, texts_TJ: Floats, lang: str | None) -> Floats:
        """[T, J] of texts in a language; of one that is not known, the mean of all languages is taken."""
        place_J = self.means[self.source]
        mean_J = self.means.get(lang) if lang is not None else None
        if mean_J is None:
            mean_J = np.mean(list(self.means.values()), axis=0)
        return centred(texts_TJ, mean_J, place_J)

    def with_hubs(self, texts_TJ: Floats, images_IJ: Floats, part: float) -> tuple[Floats, Floats]:
        """[T, J + 2] and [I, J + 2] whose dot products are CSLS scores; `part` is 0.5 in the paper, whose
        scores are twice these."""
        near_T, near_I = nearness(texts_TJ, self.images), nearness(images_IJ, self.captions)
        return with_hubs(texts_TJ, images_IJ, near_T, near_I, part)

    def at_search(self, centre: bool, csls: float) -> AtSearch:
        """Keep what a search needs, rounded as it is stored."""
        steps: dict[str, Floats] = {}
        if centre:
            everyone_J = np.mean(list(self.means.values()), axis=0)
            steps = {lang: self.means[self.source] - mean_J for lang, mean_J in self.means.items()}
            steps[UNKNOWN] = self.means[self.source] - everyone_J
        hubs = np.array(evenly(list(self.captions))) if csls else None
        return AtSearch(
            steps={lang: _rounded(step_J) for lang, step_J in steps.items()},
            hubs=None if hubs is None else _rounded(hubs),
            csls=csls,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class AtSearch:
    """Corrections that a search makes to vectors of texts and to scores of images; by default none."""

    steps: Mapping[str, Floats] = field(default_factory=dict)
    """[J] by language, what is added to a text so that its language stands where the source language does;
    under `und` for all others."""
    hubs: Floats | None = None
    """[M, J] captions whose nearness to an image, times `csls`, is taken from its scores."""
    csls: float = 0.0

    def moved(self, texts_TJ: Floats, languages: Sequence[str]) -> Floats:
        """[T, J] unit vectors of texts in languages named by BCP 47 tags, with or without region."""
        if not self.steps or not len(texts_TJ):
            return texts_TJ
        rest_J = self.steps[UNKNOWN]
        steps = [self.steps.get(lang, self.steps.get(lang.split("-")[0], rest_J)) for lang in languages]
        return unit(texts_TJ + np.stack(steps))

    def hub(self, images_NJ: Floats) -> Floats:
        """[N] what is taken from scores of images."""
        if self.hubs is None:
            return np.zeros(len(images_NJ), np.float32)
        found: Floats = np.float32(self.csls) * nearness(images_NJ, self.hubs)
        return found


def _rounded(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def evenly(values: Sequence[Value]) -> list[Value]:
    """Choose at most `MOST` values at equal distances."""
    return [values[row * len(values) // MOST] for row in range(MOST)] if len(values) > MOST else list(values)
