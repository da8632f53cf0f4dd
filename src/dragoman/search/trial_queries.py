"""Queries whose answer is known: captions of a split, and words in a row that are drawn from them.

The picture of a caption answers it. Fewer words are answered by every picture of which some caption in their
language has them all.

Q queries, I images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.models.text.spelling import unspaced, words
from dragoman.search.calibration import LENGTHS
from dragoman.texts import worded

CAPTIONS = 1000
"""At most, of each language."""
FEWEST = 20
"""Captions of a language to learn from."""
SHORT = 400
"""Queries of each of `LENGTHS` that are drawn in a language."""
COMMON = 0.25
"""A word that more of the captioned images have begins and ends no query: it may be an article."""
SEARCHED = ("human", "mt")
"""Roles of captions that stand for what people ask; a way back is no one's question."""
TRIES = 20
"""Draws for each query that is wanted; of few or odd captions there are fewer queries."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Queries:
    """Queries of one language; the whole captions come first."""

    texts: list[str]
    own: NDArray[np.int64]
    """[Q] row of the image that each was written for."""
    right: NDArray[np.bool_]
    """[Q, I] images that answer it."""
    captions: int
    """Queries that are whole captions."""
    human: bool
    """True where people wrote the captions."""


def queries_of(
    corpus: Corpus, images: Sequence[str], languages: Sequence[str], source: str
) -> dict[str, Queries]:
    """Choose the queries of each language, about images that are given by their ids; `languages` are by
    default all with enough captions. Raises UserError where one that is named, or all, have too few."""
    row_of = {item_id: row for row, item_id in enumerate(images)}
    found: dict[str, Queries] = {}
    for lang in languages or corpus.select(role=SEARCHED).languages:
        table = corpus.select(role=SEARCHED, lang=lang).table.select(["item_id", "role", "text"])
        rows = [row for row in table.to_pylist() if row["item_id"] in row_of]
        human = [row for row in rows if row["role"] == "human"]
        # Of the source language, what machines wrote is the way back from a person's caption in another.
        by_people = len(human) >= FEWEST or lang == source
        chosen = human if by_people else rows
        if len(chosen) >= FEWEST:
            found[lang] = _queries(chosen, row_of, by_people)
        elif languages:
            raise UserError(f"There are {len(chosen)} captions in {lang!r}; at least {FEWEST} are needed.")
    if not found:
        raise UserError(f"No language of {corpus.folder} has {FEWEST} captions of these images.")
    return found


def _queries(rows: Sequence[Mapping[str, Any]], row_of: Mapping[str, int], human: bool) -> Queries:
    asked = rows[:: -(-len(rows) // CAPTIONS)]
    said = Said([row["text"] for row in rows], [row_of[row["item_id"]] for row in rows], len(row_of))
    texts, own = [row["text"] for row in asked], [row_of[row["item_id"]] for row in asked]
    right = [said.only(row) for row in own]
    draws = np.random.default_rng(0)
    for least, most in zip((1, *(length + 1 for length in LENGTHS)), LENGTHS, strict=False):
        for text, row, right_I in said.drawn(SHORT, least, most, draws):
            texts.append(text)
            own.append(row)
            right.append(right_I)
    return Queries(
        texts=texts,
        own=np.array(own, np.int64),
        right=np.stack(right),
        captions=len(asked),
        human=human,
    )


class Said:
    """Captions of one language, and the images that have their words."""

    def __init__(self, texts: Sequence[str], rows: Sequence[int], images: int) -> None:
        self._images = images
        self._rows = np.array(rows, np.int64)
        self._texts = [text.lower() for text in texts]
        self._words = [[word for word in words(text) if worded(word)] for text in self._texts]
        self._captions_with: dict[str, set[int]] = defaultdict(set)
        for number, some in enumerate(self._words):
            for word in some:
                self._captions_with[word].add(number)
        captioned = len(set(rows))
        self._common = {
            word
            for word, numbers in self._captions_with.items()
            if len(set(self._rows[list(numbers)].tolist())) > COMMON * captioned
        }

    def only(self, row: int) -> NDArray[np.bool_]:
        """[I] one image alone."""
        found_I = np.zeros(self._images, bool)
        found_I[row] = True
        return found_I

    def having(self, span: Sequence[str]) -> NDArray[np.bool_]:
        """[I] images with a caption that has all the words of a span, in a row where they have no spaces."""
        numbers = set.intersection(*(self._captions_with[word] for word in span))
        if unspaced(span[0]):
            text = "".join(span)
            numbers = {number for number in numbers if text in self._texts[number]}
        found_I = np.zeros(self._images, bool)
        found_I[self._rows[list(numbers)]] = True
        return found_I

    def drawn(
        self, wanted: int, least: int, most: int, draws: np.random.Generator
    ) -> list[tuple[str, int, NDArray[np.bool_]]]:
        """Draw so many different texts of `least` to `most` words, each with the row of its image, and with
        [I] those that have its words."""
        found: dict[str, tuple[str, int, NDArray[np.bool_]]] = {}
        for _ in range(TRIES * wanted):
            number = int(draws.integers(len(self._words)))
            some, size = self._words[number], int(draws.integers(least, most + 1))
            if some and unspaced(some[0]):
                size *= 2
            start = int(draws.integers(max(1, len(some) - size + 1)))
            span = some[start : start + size]
            # The end of a word, cut off, or an article is no one's question.
            if len(span) < size or not self._tells({span[0], span[-1]}):
                continue
            text = ("" if unspaced(span[0]) else " ").join(span)
            if text not in found:
                found[text] = (text, int(self._rows[number]), self.having(span))
            if len(found) == wanted:
                break
        return list(found.values())

    def _tells(self, some: AbstractSet[str]) -> bool:
        return all((len(word) > 2 or unspaced(word)) and word not in self._common for word in some)
