"""The rows of a report: one way of scoring the same queries each.

| row | scores |
|---|---|
| direct | the query itself |
| translate_test | its machine translation into the source language, by the same model |
| fused | weight x translate_test + (1 - weight) x direct, the weight chosen on validation |
| translate_test_source_only | its machine translation, by another model that knows the source language only |
| centred | the query, the mean of its language moved to that of the source language |
| centred_untagged | the query, the mean of all languages moved there, as where its language is not known |
| untagged | the query, read as in the source language, by a model that reads each language by its own parts |
| wrong_tag | the query, read by the parts of another language |
| aligned | the query, its sentence vector mapped to those of the source language |
| csls | the query, less the nearness of query and image to all that the model was trained on |
| reranked | as direct; then the best hits of each query in the order of the fusion encoder |

T texts, I images, D width, N pairs of a text and an image, R regions of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.evaluation import DotScores, Positives, rank_scores, rerank, sum_r, summarise
from dragoman.evaluation.ranks import Ranks
from dragoman.evaluation.score_fusion import WEIGHTS, Channels, Normalisation, sweep
from dragoman.evaluation.scores import Scores
from dragoman.progress import bar
from dragoman.retrievers.base import Model, Reranker

ROWS = (
    "direct",
    "translate_test",
    "fused",
    "translate_test_source_only",
    "centred",
    "centred_untagged",
    "untagged",
    "wrong_tag",
    "aligned",
    "csls",
    "reranked",
)
DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, eq=False, kw_only=True)
class Vectors:
    """Encoded captions of one language, and the images they are ranked against."""

    image_ids: list[str]
    images: NDArray[np.float32]
    """[I, D]"""
    text_items: list[str]
    texts: NDArray[np.float32]
    """[T, D]"""
    translations: NDArray[np.float32] | None = None
    """[T, D]"""
    other_images: NDArray[np.float32] | None = None
    other_translations: NDArray[np.float32] | None = None
    """Vectors of the second model, which need not share the width D."""
    corrected: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)
    """Texts [T, D] and images [I, D] of further rows, by their names; of each row another width D."""
    matched: Matched | None = None
    """For the row `reranked`."""

    def only(self, images: Sequence[int], texts: Sequence[int]) -> Vectors:
        """Choose the images and captions at these places, in this order."""
        image_I, text_T = np.asarray(images, np.int64), np.asarray(texts, np.int64)
        return Vectors(
            image_ids=[self.image_ids[place] for place in images],
            images=self.images[image_I],
            text_items=[self.text_items[place] for place in texts],
            texts=self.texts[text_T],
            translations=None if self.translations is None else self.translations[text_T],
            other_images=None if self.other_images is None else self.other_images[image_I],
            other_translations=None if self.other_translations is None else self.other_translations[text_T],
            corrected={
                row: (one_TD[text_T], other_ID[image_I]) for row, (one_TD, other_ID) in self.corrected.items()
            },
            matched=None if self.matched is None else self.matched.only(texts),
        )

    @property
    def queried_images(self) -> list[int]:
        """Places of the images that have a caption here; the others are in the gallery, but no queries."""
        captioned = set(self.text_items)
        return [place for place, image in enumerate(self.image_ids) if image in captioned]

    def positives(self, direction: str) -> Positives:
        """Give the image of each caption, or all captions of each captioned image."""
        if direction == "text_to_image":
            return Positives.from_items(self.text_items, self.image_ids)
        return Positives.from_items([self.image_ids[i] for i in self.queried_images], self.text_items)

    def dot(self, direction: str, text_TD: NDArray[np.float32], image_ID: NDArray[np.float32]) -> DotScores:
        """Score captions against images, or captioned images against captions."""
        if direction == "text_to_image":
            return DotScores(text_TD, image_ID)
        return DotScores(image_ID[self.queried_images], text_TD)

    def channels(self, direction: str, normalisation: Normalisation) -> Channels:
        """Pair the translate-test channel with the direct one."""
        assert self.translations is not None
        return Channels(
            self.dot(direction, self.translations, self.images),
            self.dot(direction, self.texts, self.images),
            normalisation,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Matched:
    """The texts that the fusion encoder reads, and how many hits it puts into order."""

    texts: list[str]
    matcher: Matcher
    depth: int

    def only(self, texts: Sequence[int]) -> Matched:
        """Choose the captions at these places."""
        return replace(self, texts=[self.texts[place] for place in texts])


def rank_rows(
    vectors: Vectors, direction: str, *, weight: float | None, normalisation: Normalisation, depth: int
) -> Iterator[tuple[str, Ranks]]:
    """Rank each row that can be had; `fused` only where a weight is given."""
    positives = vectors.positives(direction)
    for row, scores in _scores(vectors, direction, weight, normalisation):
        yield row, rank_scores(scores, positives, depth=depth)
    if vectors.matched is not None:
        yield "reranked", _rerank(vectors, vectors.matched, direction, positives, depth)


def _rerank(vectors: Vectors, matched: Matched, direction: str, positives: Positives, depth: int) -> Ranks:
    # Rows of the scores are queries: where images ask, those that have a caption.
    queried = np.array(vectors.queried_images, np.int64)

    def match(query_N: NDArray[np.int64], entry_N: NDArray[np.int64]) -> NDArray[np.float32]:
        by_text = direction == "text_to_image"
        text_N, image_N = (query_N, entry_N) if by_text else (entry_N, queried[query_N])
        texts, items = [matched.texts[place] for place in text_N], [vectors.image_ids[i] for i in image_N]
        return matched.matcher.scores(texts, items)

    scores = vectors.dot(direction, vectors.texts, vectors.images)
    return rerank(scores, match, positives, depth=matched.depth, listed=depth)


def _scores(
    vectors: Vectors, direction: str, weight: float | None, normalisation: Normalisation
) -> Iterator[tuple[str, Scores]]:
    yield "direct", vectors.dot(direction, vectors.texts, vectors.images)
    if vectors.translations is not None:
        yield "translate_test", vectors.dot(direction, vectors.translations, vectors.images)
        if weight is not None:
            yield "fused", vectors.channels(direction, normalisation).at(weight)
    if vectors.other_translations is not None and vectors.other_images is not None:
        other = vectors.dot(direction, vectors.other_translations, vectors.other_images)
        yield "translate_test_source_only", other
    for row, (text_TD, image_ID) in vectors.corrected.items():
        yield row, vectors.dot(direction, text_TD, image_ID)


def sum_r_by_weight(vectors: Vectors, normalisation: Normalisation) -> dict[float, float]:
    """Measure SumR of the fused scores at every weight of `WEIGHTS`."""
    there, back = (
        sweep(vectors.channels(direction, normalisation), vectors.positives(direction), WEIGHTS)
        for direction in DIRECTIONS
    )
    return {
        weight: sum_r(summarise(one), summarise(other))
        for weight, one, other in zip(WEIGHTS, there, back, strict=True)
    }


def best_weight(sum_r_by_weight: dict[float, float]) -> float:
    """Choose the weight of the highest SumR; of equals the smallest, which leans least on the translator."""
    return max(sum_r_by_weight, key=lambda weight: (sum_r_by_weight[weight], -weight))


VALUES = 2**24
"""Values of regions that are held at a time: 32 MB as float16."""


class Matcher:
    """Match scores of texts and items of a feature set, each pair scored once.

    Raises UserError for a model without a fusion encoder, or one that reads other features.
    """

    # Both directions and all galleries of a report ask for many of the same pairs; a pair that was scored
    # twice, among other batch-mates, could differ from itself in the last bits.

    def __init__(self, model: Model, features: FeatureSet) -> None:
        if not isinstance(model, Reranker) or not model.regions:
            raise UserError(
                "This model has no fusion encoder, so it cannot re-rank. Evaluate it without --rerank, or "
                "train one: dragoman train CORPUS --recipe one_to_k --set loss.mitm_weight=1"
            )
        if model.regions != features.most_parts:
            raise UserError(
                f"{features.folder} holds {features.most_parts} vectors an image, but the fusion encoder "
                f"reads {model.regions}. Give the feature set that it was trained on: --features NAME"
            )
        self._model, self._features = model, features
        self._texts: dict[str, int] = {}
        self._key_N: NDArray[np.int64] = np.empty(0, np.int64)
        self._score_N: NDArray[np.float32] = np.empty(0, np.float32)

    def scores(self, texts_N: Sequence[str], items_N: Sequence[str]) -> NDArray[np.float32]:
        """Give the match logit less the no-match logit [N] of each text with its item."""
        text_N = np.array([self._texts.setdefault(text, len(self._texts)) for text in texts_N], np.int64)
        key_N = text_N * len(self._features.ids) + self._features.rows(items_N)
        self._learn(np.setdiff1d(key_N, self._key_N))
        found: NDArray[np.float32] = self._score_N[np.searchsorted(self._key_N, key_N)]
        return found

    def _learn(self, new_N: NDArray[np.int64]) -> None:
        """Score new keys, which are sorted by text."""
        size = max(1, VALUES // (self._features.most_parts * self._features.width))
        texts = list(self._texts)
        parts = [self._score_N]
        with bar(len(new_N), "Re-ranking", "pairs") as progress:
            for start in range(0, len(new_N), size):
                text_N, row_N = np.divmod(new_N[start : start + size], len(self._features.ids))
                # Texts are encoded and regions read once for all their pairs of this part.
                asked, text_place_N = np.unique(text_N, return_inverse=True)
                rows, row_place_N = np.unique(row_N, return_inverse=True)
                pairs = np.stack([text_place_N, row_place_N], axis=1)
                regions = self._features.parts(rows)
                parts.append(self._model.rerank([texts[text] for text in asked], regions, pairs))
                progress.update(len(pairs))
        # In order, as `scores` finds a pair by bisection.
        joined_N = np.concatenate([self._key_N, new_N])
        order = np.argsort(joined_N, kind="stable")
        self._key_N, self._score_N = joined_N[order], np.concatenate(parts)[order]
