"""Scores between texts, learned from captions in several languages: those of the source stand for records.

The last caption of each image that people wrote in the source language is a record. Captions of the same
image, and words that are drawn from them, are queries that it answers: in other languages these are
translations, or what somebody else said of the image, and in the source language further captions of it. A
caption that is the record itself asks for nothing that a search would have to find.

Q queries, I images, R records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.search.trial_queries import FEWEST, Queries


@dataclass(frozen=True, eq=False, kw_only=True)
class Records:
    """Texts that stand for records, one for each of some images."""

    texts: list[str]
    images: NDArray[np.int64]
    """[R] rows of the images that they are of."""

    @classmethod
    def of(cls, corpus: Corpus, images: Sequence[str], source: str) -> Records | None:
        """Take them from a corpus, for images that are given by their ids; None where there are too few."""
        captions = corpus.select(role="human", lang=source)
        # Not the first, which are asked with where only some captions are.
        last = dict(zip(captions.item_ids, captions.texts, strict=True))
        rows = [row for row, item_id in enumerate(images) if item_id in last]
        if len(rows) < FEWEST:
            return None
        return cls(texts=[last[images[row]] for row in rows], images=np.array(rows, np.int64))

    def asked(self, queries: Queries) -> tuple[NDArray[np.int64], Queries] | None:
        """Choose the queries that some record answers, without those that are one: their rows [Q], and the
        queries with the records in the place of the images. None where there are too few."""
        record_of = {image: row for row, image in enumerate(self.images.tolist())}
        own = [record_of.get(image) for image in queries.own.tolist()]
        asks = [
            record is not None and text != self.texts[record]
            for record, text in zip(own, queries.texts, strict=True)
        ]
        rows_Q = np.flatnonzero(asks)
        if len(rows_Q) < FEWEST:
            return None
        chosen = replace(
            queries,
            texts=[queries.texts[row] for row in rows_Q],
            own=np.array([own[row] for row in rows_Q], np.int64),
            right=queries.right[np.ix_(rows_Q, self.images)],
            captions=int(np.count_nonzero(rows_Q < queries.captions)),
        )
        return rows_Q, chosen
