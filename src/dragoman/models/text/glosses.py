"""Reading of the glossed text encoder: texts to words, words to the source words nearest to them. No torch.

Words of languages that the sentence encoder does not know are read by a lexicon, or by that of its words
which begins alike.

T texts, L words of the longest text, U different words of the batch, K glosses of a word, V source words,
G source words that are glosses, D width of the encoder's own vectors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.folders import write_json
from dragoman.models.text import TextConfig
from dragoman.models.text.vectors import FrozenVectors

ASSETS = Path("text") / "glosses.json"
STEM, ALIKE = 3, 0.6
"""Letters, and share of the longer word, in which a form of a word of the lexicon begins as it does."""
BATCH = 256
"""Words that the encoder reads at a time."""
KNOWN_WORDS, KNOWN_CHARACTERS = 200_000, 12_000_000
"""Words, and characters of texts, that are remembered at most: a service reads anything for ever. Of captions
these are some 200,000, which a training reads again and again."""


@dataclass(frozen=True, kw_only=True)
class GlossedTextConfig(TextConfig):
    """Choice of an encoder, and how words are read by it."""

    features: str
    """Name of a set of vectors of the corpus's texts and words (`dragoman features --texts`)."""
    width: int = 256
    glosses: int = 16
    """Source words that a word is read as."""
    gloss_temperature: float = 0.1
    """Divisor of the cosines in the softmax over them."""
    gloss_count: int = 3
    """A source word is a gloss when it occurs at least so often in the training captions."""
    unsure: float = 0.5
    """Cosine to the nearest gloss up to which a word counts as unknown."""
    sure: float = 0.9
    """Cosine from which on it counts as known."""
    word_dropout: float = 0.2
    """Share of the words of a text that a training step leaves out."""
    own_dropout: float = 0.3
    """Share of the words that a training step reads by their glosses alone."""
    max_words: int = 64
    """Longer texts are cut."""

    @property
    def max_tokens(self) -> int:
        return self.max_words

    @classmethod
    def from_text(cls, text: str) -> GlossedTextConfig | None:
        """Return the set that `glossed:NAME` names; None for any other text."""
        return cls(features=text.removeprefix("glossed:")) if text.startswith("glossed:") else None

    def __post_init__(self) -> None:
        for name in ("width", "glosses", "gloss_count", "max_words"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("word_dropout", "own_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0.001 <= self.gloss_temperature <= 1:
            raise UserError(f"gloss_temperature must lie in [0.001, 1], got {self.gloss_temperature}")
        if not -1 <= self.unsure < self.sure <= 1:
            raise UserError(f"Cosines must be -1 <= unsure < sure <= 1, got {self.unsure} and {self.sure}")


class Gloss(NamedTuple):
    """The reading of a word."""

    own: int
    """Row of its own embedding; 0 is none."""
    rows: NDArray[np.int64]
    """[K] rows of its glosses."""
    shares: NDArray[np.float32]
    """[K] their shares, 1 in sum."""
    known: float
    """0 to 1, how surely the glosses say what it means; 1 for source words."""
    sure: float
    """0 to 1, how surely the encoder says so."""


NOTHING = ""
"""Stands for a text without words."""


class Glosses:
    """The source words, and which of them any word is read as.

    `known_GD` are the vectors of the words that may be glosses, as `unit` gave them.
    """

    def __init__(
        self,
        config: GlossedTextConfig,
        frozen: FrozenVectors,
        source_words: Sequence[str],
        gloss_words: Sequence[str],
        lexicon: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """The G words that may be glosses are among the V source words. `lexicon` has the glosses of words in
        small letters that the encoder is not asked for."""
        self.config, self.frozen = config, frozen
        self.source_words, self.gloss_words = list(source_words), list(gloss_words)
        gloss_row = {word: row for row, word in enumerate(gloss_words)}
        self.lexicon = {
            word: rows
            for word, sources in sorted(lexicon.items())
            if (rows := [gloss_row[one] for one in sources if one in gloss_row][: config.glosses])
        }
        self._by_stem: dict[str, list[str]] = {}
        # Short words first: of forms that are equally alike they are the plainest.
        for word in sorted(self.lexicon, key=lambda one: (len(one), one)):
            self._by_stem.setdefault(word[:STEM], []).append(word)
        self._own_row = {word: row for row, word in enumerate(source_words, start=1)}
        self._gloss_of: dict[str, Gloss] = {}
        self._words_of: dict[str, list[str]] = {}
        self._characters = 0

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Cut texts into words, one at least."""
        # Training gives the same texts again and again; cutting them takes longer than learning from them.
        if self._characters > KNOWN_CHARACTERS:
            # Another table, as other threads read in this one.
            self._words_of, self._characters = {}, 0
        words_of, longest = self._words_of, self.config.max_words
        if new := list({text for text in texts if text not in words_of}):
            for text, words in zip(new, self.frozen.side.words(new), strict=True):
                words_of[text] = [sys.intern(word) for word in words[:longest]] or [NOTHING]
                self._characters += len(text)
        return [words_of[text] for text in texts]

    def known_shares(self, texts: Sequence[str], known_GD: NDArray[np.float32]) -> list[float]:
        """Tell of each text how surely its glosses say what it means, 0 to 1."""
        words_T = self.words(texts)
        gloss_of = self.remember({word for words in words_T for word in words}, known_GD)
        return [
            0.0 if words == [NOTHING] else sum(gloss_of[word].known for word in words) / len(words)
            for words in words_T
        ]

    def encoder_shares(self, texts: Sequence[str], known_GD: NDArray[np.float32]) -> list[float]:
        """Tell of each text how surely the encoder reads it, from 0 to its known share."""
        words_T = self.words(texts)
        gloss_of = self.remember({word for words in words_T for word in words}, known_GD)
        return [sum(gloss_of[word].sure for word in words) / len(words) for words in words_T]

    def prepare(self, texts: Sequence[str], known_GD: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """`words` [T, L] places among the U different words, `mask` [T, L]; `own` [U], `rows` and `shares`
        [U, K] of each of them."""
        words_T = self.words(texts)
        place: dict[str, int] = {}
        table = np.zeros((len(texts), max(map(len, words_T), default=0)), np.int64)
        mask = np.zeros(table.shape, bool)
        for row, words in enumerate(words_T):
            table[row, : len(words)] = [place.setdefault(word, len(place)) for word in words]
            mask[row, : len(words)] = True
        gloss_of = self.remember(set(place), known_GD)
        glosses = [gloss_of[word] for word in place]
        return {
            "words": table,
            "mask": mask,
            "own": np.array([one.own for one in glosses], np.int64),
            "rows": np.array([one.rows for one in glosses]),
            "shares": np.array([one.shares for one in glosses]),
        }

    def remember(self, words: set[str], known_GD: NDArray[np.float32]) -> Mapping[str, Gloss]:
        """Find the glosses of words, many at a time; what is returned has them all."""
        if len(self._gloss_of) > KNOWN_WORDS:
            self._gloss_of = {}
        gloss_of, config = self._gloss_of, self.config
        if NOTHING in words and NOTHING not in gloss_of:
            count = min(config.glosses, len(self.gloss_words))
            gloss_of[NOTHING] = Gloss(0, np.zeros(count, np.int64), np.zeros(count, np.float32), 0.0, 0.0)
        new = sorted(word for word in words if word not in gloss_of)
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            rows_NK, shares_NK, nearest_N = nearest(
                self.unit(some) @ known_GD.T, config.glosses, config.gloss_temperature
            )
            sure_N = np.clip((nearest_N - config.unsure) / (config.sure - config.unsure), 0, 1)
            for word, rows, shares, sure in zip(some, rows_NK, shares_NK, sure_N.tolist(), strict=True):
                if own := self._own_row.get(word, 0):
                    found = Gloss(own, rows, shares, 1.0, 1.0)
                # A lexicon of one language must not read the words of those that the encoder knows.
                elif (listed := self._find(word)) and listed[1] > sure:
                    found = self._of_lexicon(*listed, len(rows))
                else:
                    found = Gloss(0, rows, shares, sure, sure)
                gloss_of[word] = found
        return gloss_of

    def unit(self, words: Sequence[str]) -> NDArray[np.float32]:
        """[N, D] vectors of unit length; their rounding makes glosses in training and in use the same."""
        found = [self.frozen.vectors(words[start : start + BATCH]) for start in range(0, len(words), BATCH)]
        vectors = np.concatenate(found)[:, : self.frozen.own_width]
        unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit.astype(np.float16).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the settings, the encoder's description, and the source words, glosses first."""
        (folder / ASSETS).parent.mkdir(parents=True, exist_ok=True)
        said = {"config": asdict(self.config), "words": self.source_words, "glosses": len(self.gloss_words)}
        if self.lexicon:
            words = {word: [self.gloss_words[row] for row in rows] for word, rows in self.lexicon.items()}
            said["lexicon"] = words
        write_json(folder / ASSETS, said | self.frozen.made_by)

    @classmethod
    def load(cls, folder: Path) -> Glosses:
        """Read what `save` wrote."""
        said = json.loads((folder / ASSETS).read_text(encoding="utf-8"))
        config, words, glosses = (said.pop(name) for name in ("config", "words", "glosses"))
        lexicon = said.pop("lexicon", {})
        return cls(GlossedTextConfig(**config), FrozenVectors(said), words, words[:glosses], lexicon)

    def _find(self, word: str) -> tuple[str, float] | None:
        """The word of the lexicon that this one is, or a form of, and the share of its letters that agree."""
        if word in self.lexicon:
            return word, 1.0
        best = None
        for other in self._by_stem.get(word[:STEM], ()):
            share = _alike(word, other) / max(len(word), len(other))
            if share >= ALIKE and (best is None or share > best[1]):
                best = other, share
        return best

    def _of_lexicon(self, word: str, known: float, count: int) -> Gloss:
        listed = self.lexicon[word][:count]
        rows, shares = np.zeros(count, np.int64), np.zeros(count, np.float32)
        rows[: len(listed)], shares[: len(listed)] = listed, 1 / len(listed)
        # What an encoder puts near to words that it never saw is chance.
        return Gloss(0, rows, shares, known, 0.0)


def nearest(
    cosine_NG: NDArray[np.float32], count: int, temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Find for words the `count` nearest of G others: rows [N, K], shares [N, K], and the largest cosine [N].

    A share is exp(cosine / temperature), less what the next one has that is left out: so none comes or goes
    with a jump where vectors differ in their last bits. Of equal ones the first are taken.
    """
    count = min(count, cosine_NG.shape[1])
    rounded_NG = np.round(cosine_NG.astype(np.float64), 3)
    order_NG = np.arange(cosine_NG.shape[1]) * 1e-9 - rounded_NG
    if count < cosine_NG.shape[1]:
        rows_NK = np.argpartition(order_NG, count, axis=1)[:, : count + 1]
    else:
        rows_NK = np.argsort(order_NG, axis=1)
    rows_NK = np.take_along_axis(rows_NK, np.argsort(np.take_along_axis(order_NG, rows_NK, 1), axis=1), 1)
    cosine_NK = np.take_along_axis(cosine_NG, rows_NK, axis=1).astype(np.float64)
    largest_N = cosine_NK.max(1)
    parts_NK = np.exp((cosine_NK - largest_N[:, None]) / temperature)
    if rows_NK.shape[1] > count:
        # Where all are alike, none would be left.
        parts_NK = np.maximum(parts_NK[:, :count] - parts_NK[:, count:], 1e-6)
    shares_NK = parts_NK / parts_NK.sum(1, keepdims=True)
    return rows_NK[:, :count], shares_NK.astype(np.float32), largest_N


def _alike(one: str, other: str) -> int:
    """Letters that two words have in common at their beginning."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)
