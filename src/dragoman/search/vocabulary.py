"""Words on which a model was taught or measured, as a calibration keeps them: by hash, each in four bytes.

A word is known that is said of two pictures. Of one picture it may be a slip of the pen, and nothing was
measured by it.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dragoman.models.text.spelling import unspaced, words
from dragoman.texts import legible, worded

PICTURES = 2
"""Pictures of which a word must be said."""
MOST = 50_000
"""Words that are kept, those of most pictures first: 200 kB."""


@dataclass(frozen=True)
class Vocabulary:
    """Words of captions, in all their languages together: which one a word is in can seldom be told."""

    hashes: frozenset[int]

    @classmethod
    def of(cls, captions: Iterable[tuple[str, str]]) -> Vocabulary:
        """Gather the words of captions, each given as its item and its text."""
        pictures: Counter[int] = Counter()
        seen: set[tuple[str, int]] = set()
        for item_id, text in captions:
            for token in set(_tokens(text)):
                if (item_id, token) not in seen:
                    seen.add((item_id, token))
                    pictures[token] += 1
        often = (token for token, count in pictures.most_common() if count >= PICTURES)
        return cls(frozenset(token for token, _ in zip(often, range(MOST), strict=False)))

    def share(self, text: str) -> float:
        """Tell which share of the words of a text is known, 0 to 1; of one without words, 0.

        In scripts without spaces a character is known that forms a known pair with one beside it.
        """
        found = _words(text)
        known = [self._knows(found, place) for place in range(len(found))]
        return sum(known) / len(known) if known else 0.0

    def _knows(self, found: list[str], place: int) -> bool:
        if not unspaced(found[place]):
            return _hash(found[place]) in self.hashes
        pairs = list(_pairs(found, place))
        return any(_hash(pair) in self.hashes for pair in pairs or [found[place]])

    def packed(self) -> str:
        """Write the hashes as base64 of sorted little-endian uint32."""
        return base64.b64encode(np.array(sorted(self.hashes), "<u4").tobytes()).decode()

    @classmethod
    def unpacked(cls, stored: str) -> Vocabulary:
        """Read what `packed` wrote. Raises ValueError for anything else."""
        return cls(frozenset(np.frombuffer(base64.b64decode(stored, validate=True), "<u4").tolist()))


def _words(text: str) -> list[str]:
    return [word for word in words(legible(text).lower()) if worded(word)]


def _pairs(found: list[str], place: int) -> Iterator[str]:
    """Yield the pairs that a character forms with those beside it."""
    for first in (place - 1, place):
        if first >= 0 and all(map(unspaced, found[first : first + 2])) and first + 1 < len(found):
            yield found[first] + found[first + 1]


def _tokens(text: str) -> Iterator[int]:
    found = _words(text)
    for place, word in enumerate(found):
        yield _hash(word)
        if unspaced(word):
            yield from map(_hash, _pairs(found, place))


def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
