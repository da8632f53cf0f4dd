"""Corrections of vectors that need no training: means of languages, and hubness.

A language stands as a whole beside the others, and what its mean scores is added to every score of its texts:
language centring moves the mean to that of the source language, whose texts and all images stay. It moves
the vectors that a head reads of whole texts, where there is one, as a head that is no linear map bends what
lies far from all that it learned; else those of the joint space. Alignment goes on from there: a linear map
of these vectors, by least squares from machine captions to the captions that they translate. CSLS (Conneau
et al., arXiv 1710.04087, section 2.3) takes from a score how near both sides are to anything.

N, T, I vectors, texts, images; M remembered vectors, J width of the joint space, H of sentence vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.retrievers.base import NO_SENTENCES, Model, SentenceReader, encode_in, unit

if TYPE_CHECKING:
    from dragoman.corpus import Corpus, FeatureSet

Floats = NDArray[np.float32]
Value = TypeVar("Value")

MOST = 2_000
"""Captions of a language, and images, that are learned from at most."""
HELD = 0.3
"""Pull of maps to the identity; of multilingual-e5-small, pairs held out had the least error at .1 to .3."""
NEIGHBOURS = 10
UNKNOWN = "und"
"""Tag of a language that is not known."""
BLOCK = 4096
"""Vectors whose cosines are in memory at a time."""


def map_of(texts_NH: Floats, sources_NH: Floats) -> Floats:
    """Find a map [H + 1, H], whose last row is added, from vectors of captions to those of their sources.

    Least squares of centred vectors, drawn to the identity by `HELD` times the mean variance of a component:
    what the captions say nothing of stays.
    """
    mean_H, place_H = texts_NH.mean(0, np.float64), sources_NH.mean(0, np.float64)
    texts, sources = texts_NH - mean_H, sources_NH - place_H
    squares_HH = texts.T @ texts
    held_HH = np.eye(len(squares_HH)) * max(HELD * np.trace(squares_HH) / len(squares_HH), 1e-9)
    map_HH = np.linalg.solve(squares_HH + held_HH, texts.T @ sources + held_HH)
    return np.vstack([map_HH, place_H - mean_H @ map_HH]).astype(np.float32)


def step_of(means: Mapping[str, Floats], source: str, lang: str | None) -> Floats:
    """Find what takes a language's mean to that of the source language; of a language that is not known, the
    mean of all."""
    mean = means.get(lang) if lang is not None else None
    found: Floats = means[source] - (np.mean(list(means.values()), axis=0) if mean is None else mean)
    return found


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
    sentences: Mapping[str, Floats] = field(default_factory=dict)
    """[H] means of the sentence vectors of each language, where a head reads such (`SentenceReader`): there
    the mean is moved before the head."""
    maps: Mapping[str, Floats] = field(default_factory=dict)
    """[H + 1, H] of the sentence vectors of each language to those of the source, where they were asked for
    (`map_of`)."""

    @classmethod
    def learned(
        cls,
        model: Model,
        corpus: Corpus,
        features: FeatureSet,
        source: str,
        languages: Iterable[str],
        align: bool = False,
    ) -> Corrections:
        """Encode captions and images of the split train, at most `MOST` of each language and of all images:
        what people wrote in the source language, and what machines wrote in the others.

        With `align` maps are learned as well, from these machine captions and their sources. Raises UserError
        where the source has no captions there, and for maps where no head reads sentence vectors.
        """
        seen = corpus.with_vectors(features, "train")
        human = seen.select(role="human", lang=source, split="train")
        captions, sources = {source: human.texts}, dict(zip(human.ids, human.texts, strict=True))
        pairs: dict[str, list[tuple[str, str]]] = {}
        for lang in languages:
            if lang != source:
                written = seen.select(role="mt", lang=lang, split="train")
                captions[lang] = written.texts
                origins = zip(written.texts, written.table["source_id"].to_pylist(), strict=True)
                pairs[lang] = [(text, sources[origin]) for text, origin in origins if origin in sources]
        if not captions[source]:
            raise UserError(
                f"Centring and CSLS learn from captions of the split train, and it has none in {source!r}."
            )
        captions = {lang: evenly(texts) for lang, texts in captions.items() if texts}
        found = {lang: encode_in(model, texts, lang) for lang, texts in captions.items()}
        sentences = {}
        if isinstance(model, SentenceReader) and model.sentence_width:
            sentences = {lang: model.sentence_vectors(texts) for lang, texts in captions.items()}
        maps = {}
        if align:
            if not isinstance(model, SentenceReader) or not model.sentence_width:
                raise UserError(f"Languages are aligned before a head. {NO_SENTENCES}")
            for lang, both in pairs.items():
                if both:
                    read, origin = (model.sentence_vectors(part) for part in zip(*evenly(both), strict=True))
                    maps[lang] = map_of(read, origin)
        items = evenly(seen.split("train")["item_id"].to_pylist())
        return cls(
            source=source,
            means=_means(found),
            sentences=_means(sentences),
            maps=maps,
            captions=np.concatenate(list(found.values())),
            images=model.encode_features(np.asarray(features.whole(features.rows(items)))),
        )

    def centred(self, texts_TJ: Floats, lang: str | None) -> Floats:
        """[T, J] of texts in a language, moved in the joint space; of a language that is not known, the mean
        of all is taken."""
        return unit(texts_TJ + step_of(self.means, self.source, lang))

    def sentence_step(self, lang: str | None) -> Floats | None:
        """[H] what is added to the sentence vectors of a language before the head; None where no head reads
        such vectors."""
        return step_of(self.sentences, self.source, lang) if self.sentences else None

    def with_hubs(self, texts_TJ: Floats, images_IJ: Floats, part: float) -> tuple[Floats, Floats]:
        """[T, J + 2] and [I, J + 2] whose dot products are CSLS scores; `part` is 0.5 in the paper, whose
        scores are twice these."""
        near_T, near_I = nearness(texts_TJ, self.images), nearness(images_IJ, self.captions)
        return with_hubs(texts_TJ, images_IJ, near_T, near_I, part)

    def at_search(self, centre: bool, csls: float) -> AtSearch:
        """Keep what a search needs, rounded as it is stored; centred are all languages without a map."""
        hubs = np.array(evenly(list(self.captions))) if csls else None
        return AtSearch(
            steps=self._steps(self.means) if centre else {},
            sentence_steps=self._steps(self.sentences) | self._maps() if centre else {},
            hubs=None if hubs is None else _rounded(hubs),
            csls=csls,
        )

    def _maps(self) -> dict[str, Floats]:
        return {lang: _rounded(one) for lang, one in self.maps.items()}

    def _steps(self, means: Mapping[str, Floats]) -> dict[str, Floats]:
        """The steps of all languages, and under `und` that of others."""
        tags = [*means, UNKNOWN] if means else []
        return {lang: _rounded(step_of(means, self.source, lang)) for lang in tags}


@dataclass(frozen=True, eq=False, kw_only=True)
class AtSearch:
    """Corrections that a search makes to vectors of texts and to scores of images; by default none."""

    steps: Mapping[str, Floats] = field(default_factory=dict)
    """[J] by language, what is added to a text so that its language stands where the source language does;
    under `und` for all others."""
    sentence_steps: Mapping[str, Floats] = field(default_factory=dict)
    """[H] by language, what is added to the sentence vector of a text before the head, in the place of
    `steps`, by a model with such a head; not by an export of it, which has one graph for both. [H + 1, H] is
    a map, whose last row is added."""
    hubs: Floats | None = None
    """[M, J] captions whose nearness to an image, times `csls`, is taken from its scores."""
    csls: float = 0.0

    def encoded(self, model: Model, texts: Sequence[str], languages: Sequence[str]) -> Floats:
        """[T, J] unit vectors of texts in languages named by BCP 47 tags, with or without region."""
        if not self.steps or not texts:
            return encode_in(model, texts, languages)
        known = [
            next((one for one in (lang, lang.split("-")[0]) if one in self.steps), UNKNOWN)
            for lang in languages
        ]
        if not (self.sentence_steps and isinstance(model, SentenceReader) and model.sentence_width):
            return unit(encode_in(model, texts, languages) + np.stack([self.steps[lang] for lang in known]))
        rows, parts = [], []
        for lang in dict.fromkeys(known):
            rows.append([row for row, one in enumerate(known) if one == lang])
            parts.append(model.encode_text([texts[row] for row in rows[-1]], step=self.sentence_steps[lang]))
        return np.concatenate(parts)[np.argsort(np.concatenate(rows))]

    def hub(self, images_NJ: Floats) -> Floats:
        """[N] what is taken from scores of images."""
        if self.hubs is None:
            return np.zeros(len(images_NJ), np.float32)
        found: Floats = np.float32(self.csls) * nearness(images_NJ, self.hubs)
        return found


def _means(found: Mapping[str, Floats]) -> dict[str, Floats]:
    return {lang: np.asarray(vectors.mean(0), np.float32) for lang, vectors in found.items()}


def _rounded(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def evenly(values: Sequence[Value]) -> list[Value]:
    """Choose at most `MOST` values at equal distances."""
    return [values[row * len(values) // MOST] for row in range(MOST)] if len(values) > MOST else list(values)
