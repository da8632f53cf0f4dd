"""Descriptions without a model that sees: captions of the training photos that look most alike.

N items, I training photos with captions, D width of the vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError

BLOCK = 1024


def captions_of_nearest(corpus: Corpus, features: FeatureSet, count: int, lang: str) -> dict[str, list[str]]:
    """Find for every item with a vector the first caption by people of each of the `count` training photos
    that look most like it, the nearest first; itself is never among them.

    Nearness is the cosine of vectors less the mean of the training photos; a video is the mean of its frames.
    Memory holds the training vectors, 4 I D bytes. Raises UserError where there are no captions, and for a
    set of texts.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1, got {count}")
    # Of a set of texts this tells what is wrong.
    corpus.with_vectors(features)
    written = corpus.select(role="human", lang=lang, split="train").require(f"human {lang} captions")
    caption_of: dict[str, str] = {}
    for item_id, text in zip(written.item_ids, written.texts, strict=True):
        caption_of.setdefault(item_id, text)
    photos = [item_id for item_id in caption_of if item_id in features.row_of]
    if not photos:
        raise UserError(
            f"{features.folder} has no vector for any training photo with a {lang} caption. "
            f"Give them vectors: {features.make_again}"
        )
    place_of = {item_id: at for at, item_id in enumerate(photos)}
    captions = [caption_of[item_id] for item_id in photos]
    seen_ID = _seen(features, photos)
    mean_D = seen_ID.mean(axis=0)
    seen_ID = _unit(seen_ID - mean_D)
    items = [item_id for item_id in corpus.items["item_id"].to_pylist() if item_id in features.row_of]
    found: dict[str, list[str]] = {}
    for start in range(0, len(items), BLOCK):
        block = items[start : start + BLOCK]
        cosine_NI = _unit(_seen(features, block) - mean_D) @ seen_ID.T
        for row, item_id in enumerate(block):
            if item_id in place_of:
                cosine_NI[row, place_of[item_id]] = -np.inf
        # Stable, so that photos that look the same come in the order of the corpus.
        order_NI = np.argsort(-cosine_NI, axis=1, kind="stable")[:, :count]
        for row, item_id in enumerate(block):
            near = [at for at in order_NI[row].tolist() if cosine_NI[row, at] > -np.inf]
            found[item_id] = [captions[at] for at in near]
    return found


def _seen(features: FeatureSet, items: list[str]) -> NDArray[np.float32]:
    """[N, D]"""
    rows = features.rows(items)
    seen = np.empty((len(rows), features.width), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = np.asarray(features.whole(rows[start : start + BLOCK]), np.float32)
        # Frames that are not there are NaN.
        seen[start : start + BLOCK] = np.nanmean(block, axis=1) if block.ndim == 3 else block
    return seen


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors_ND / np.maximum(
        np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-9
    )
    return found
