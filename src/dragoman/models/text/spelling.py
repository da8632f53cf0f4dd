"""Reading of the small text encoder: texts to words, words to rows of a table of pieces. No torch.

A word is read by its character n-grams and by itself (fastText: Bojanowski et al., 2017, section 3.2). The
vocabulary is fitted on the corpus, so a word that was never seen is read from the pieces that were: human
captions hold many words that no machine translation wrote.

T texts, L words of the longest text, U different words of the batch, P their pieces.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.folders import write_text
from dragoman.models.text import TextConfig
from dragoman.texts import spelled, unformed, visible, worded, written

VOCABULARY = "ngrams.json"
# Scripts without spaces between words are read character by character: kana, Han, Thai, Lao, Burmese, Khmer.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and joiners are no letters to `re`, but without them words of India, Israel or Iran fall apart.
_MARKS = "".join(chr(code) for code in range(0x300, 0xFE70) if category(chr(code))[0] == "M") + "\u200c\u200d"
_ALONE = re.compile(rf"[{_UNSPACED}]")
_WORDS = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w'’{_MARKS}])+|[^\w\s]")
# Signs that stand for others, where a vocabulary does not hold them: apostrophes and quotes, dashes, what
# gives an emoji its style and colour, letters in circles and squares.
_SIGNS = {
    **dict.fromkeys("`´′‘‛‚＇׳", "'"),
    **dict.fromkeys("“”„‟«»‹›〝〞＂״", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣", "-"),
    **dict.fromkeys("\ufe0e\ufe0f🏻🏼🏽🏾🏿", ""),
    **{
        chr(code): normalize("NFKC", chr(code)) for code in (*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A))
    },
}
# Thai and Lao vowels in two pieces, with a tone mark anywhere: น + ํ + ้ + า.
_PIECES_OF_AM = re.compile(
    "\u0e4d([\u0e48-\u0e4b]?)\u0e32|([\u0e48-\u0e4b])\u0e4d\u0e32|\u0ecd([\u0ec8-\u0ecb]?)\u0eb2|([\u0ec8-\u0ecb])\u0ecd\u0eb2"
)


BLANKS = dict.fromkeys(map(ord, ",.'!?\"()*#:;~-/"), " ")
"""Signs that the released code of 1-to-K strips, as blanks."""


@dataclass(frozen=True, kw_only=True)
class SmallTextConfig(TextConfig):
    """A Transformer over words; H is `width`."""

    grows = True

    width: int = 256
    layers: int = 0
    """Layers of the trunk; the dual encoder adds the shared attention."""
    heads: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    shortest: int = 3
    longest: int = 5
    """Lengths of the character n-grams, word boundaries included."""
    min_count: int = 2
    """An n-gram is known when it occurs in at least so many running words of the training captions."""
    max_words: int = 64
    """Longer texts are cut."""
    lowercase: bool = False
    """Throw case away; only for comparison with code that does, like the two that follow."""
    strip_accents: bool = False
    """Throw accents away, and all other marks that stand over or under letters."""
    strip_punctuation: bool = False
    """Read ASCII punctuation as blanks."""
    piece_dropout: float = 0.2
    """Share of the n-grams of a word that a training step leaves out, so that no single piece decides."""
    links: int = 0
    """Source words that a word of another language is linked to at most, by alignment of the training
    captions: it is then read by their pieces as well, so that what one language learns serves the others."""
    whole_dropout: float = 0.4
    """Like `piece_dropout`, for the piece that is the whole word, which is then read by its spelling; words
    of one letter have none."""

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise UserError(f"n-grams need 1 <= shortest <= longest, got {self.shortest} and {self.longest}")
        for name in ("width", "heads", "feed_forward", "min_count", "max_words"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads:
            raise UserError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.links < 0:
            raise UserError(f"links must be 0 or more, got {self.links}")
        for name in ("dropout", "piece_dropout", "whole_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")

    @property
    def max_tokens(self) -> int:
        return self.max_words


def words(text: str) -> list[str]:
    """Words and punctuation marks of a text; case and accents kept, however the accents are encoded."""
    # Composed, as keyboards differ: "ã" may come as one character or as two.
    return _WORDS.findall(normalize("NFC", text))


def folded(text: str, config: SmallTextConfig) -> str:
    """Return the text without what the settings throw away."""
    if config.lowercase:
        text = text.lower()
    if config.strip_accents:
        text = "".join(letter for letter in normalize("NFD", text) if category(letter) != "Mn")
    return text.translate(BLANKS) if config.strip_punctuation else text


def read(
    text: str, config: SmallTextConfig, known: Callable[[list[str]], list[str]] | None = None
) -> list[str]:
    """The words of a text that the encoder sees; a character of an unspaced script brings the next one along.

    So it is read both alone and as the beginning of a pair, as most words of Chinese are. `known` gives for
    words those that are read in their place.
    """
    text = visible(text)
    found = words(folded(text, config))[: config.max_words]
    if known is not None:
        found = known(found)[: config.max_words]
    alone = [_ALONE.match(word) is not None for word in found]
    return [
        word + found[at + 1] if alone[at : at + 2] == [True, True] else word for at, word in enumerate(found)
    ]


def unspaced(word: str) -> bool:
    """Tell whether a word that `read` gave begins with a character of a script without spaces."""
    return _ALONE.match(word) is not None


def pieces(word: str, shortest: int, longest: int) -> list[str]:
    """The bounded word and its n-grams: `<um>` gives `<um>`, `<um`, `um>` for lengths 3 to 3.

    A character of an unspaced script with its follower gives the bounded character and the pair.
    """
    if unspaced(word):
        return [f"<{word[0]}>", word][: len(word)]
    bounded = f"<{word}>"
    grams = [
        bounded[start : start + length]
        for length in range(shortest, longest + 1)
        for start in range(len(bounded) - length + 1)
    ]
    return [bounded, *(gram for gram in grams if gram != bounded)]


def fit_pieces(texts: Iterable[str], config: SmallTextConfig, known: Iterable[str] = ()) -> list[str]:
    """The known n-grams of a corpus, most frequent first; ties in code point order.

    The pieces of the words `known` are in it however often they occur.
    """
    running: Counter[str] = Counter()
    for text in texts:
        # Forms of letters are counted as the letters that they stand for.
        running.update(read(unformed(text), config))
    counts: Counter[str] = Counter()
    for word, count in running.items():
        for piece in set(pieces(word, config.shortest, config.longest)):
            counts[piece] += count
    for word in known:
        for piece in set(pieces(word, config.shortest, config.longest)):
            counts[piece] += config.min_count
    kept = [(-count, piece) for piece, count in counts.items() if count >= config.min_count]
    return [piece for _, piece in sorted(kept)]


def _titled(found: Sequence[str]) -> bool:
    """Tell whether the words of a text are in Title Case."""
    # Short words stay small in English titles.
    cased = [word for word in found if word.lower() != word.upper()]
    long = [word for word in cased if len(word) > 3]
    return all(word[0].istitle() for word in long or cased)


def _bare(word: str) -> str:
    """The letters of a word without case and accents; both Turkish letters i are one."""
    return "".join(c for c in normalize("NFD", word.casefold()) if category(c) != "Mn").replace("ı", "i")


def _turkish(word: str) -> str:
    """The word in small letters as Turkish has them."""
    return word.replace("İ", "i").replace("I", "ı").lower()


class Spelling:
    """A fitted vocabulary of pieces, and which of them a word is read by."""

    def __init__(
        self,
        config: SmallTextConfig,
        vocabulary: Sequence[str],
        added: Sequence[int] = (),
        links: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.config = config
        self.vocabulary = list(vocabulary)
        self.added = tuple(added)
        """Number of the last pieces that came with each extension, the first extension first."""
        self.links = {word: tuple(sources) for word, sources in (links or {}).items()}
        """Words, in lower case, that are read by the pieces of these other words as well."""
        self._first_rows = [len(vocabulary) + 1 - sum(added[at:]) for at in range(len(added))]
        # Row 0 is the unknown word, for words of which no piece is known.
        self.row = {piece: row for row, piece in enumerate(vocabulary, start=1)}
        self._rows_of_word: dict[str, list[int]] = {}
        self._known_words: dict[tuple[str, bool], tuple[str, ...]] = {}
        held = {sign for sign in (*_SIGNS, "ํ", "ໍ") if f"<{sign}>" in self.row}
        self._signs = str.maketrans({sign: other for sign, other in _SIGNS.items() if sign not in held})
        self._held_signs = frozenset(held)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of words of each text that are read; at least one."""
        return [max(1, len(self._read(text))) for text in texts]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether a piece of it is known; punctuation says nothing."""
        return [any(self.rows(word) != [0] for word in self._read(text) if worded(word)) for text in texts]

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        """Tell of each text which share of its words the vocabulary holds whole; of one without words, 0."""
        found = []
        for text in texts:
            known = [self._holds(word) for word in self._read(text) if worded(word)]
            found.append(sum(known) / len(known) if known else 0.0)
        return found

    def _holds(self, word: str) -> bool:
        return f"<{word[0] if unspaced(word) else word}>" in self.row

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """`words` [T, L] rows of the word list; `mask` [T, L]; `pieces` [P] flat ids; `sizes` [U] of words.

        int64, but for the mask, which is boolean and true at real words.
        """
        of_text = [self._read(text) or [""] for text in texts]
        known: dict[str, int] = {}
        table = np.zeros((len(texts), max(map(len, of_text))), np.int64)
        mask = np.zeros(table.shape, bool)
        for row, text in enumerate(of_text):
            table[row, : len(text)] = [known.setdefault(word, len(known)) for word in text]
            mask[row, : len(text)] = True
        rows = [self.rows(word) for word in known]
        return {
            "words": table,
            "mask": mask,
            "pieces": np.array([piece for row in rows for piece in row], np.int64),
            "sizes": np.array([len(row) for row in rows], np.int64),
        }

    def rows(self, word: str) -> list[int]:
        """Rows of the pieces that `word` is read by: its own, then those of the words it is linked to."""
        rows = self._rows_of_word.get(word)
        if rows is None:
            rows = self._own_rows(word)
            for linked in self._linked(word):
                rows = rows + self._own_rows(linked)
            rows = rows or [0]
            if len(self._rows_of_word) < 200_000:  # bounds the memory of a service that reads anything
                self._rows_of_word[word] = rows
        return rows

    def known(self, found: list[str]) -> list[str]:
        """The words that are read in place of those found in a text; themselves where they are known.

        A word that is not known is read as the same word in other letters: of another form (full width,
        mathematical, ligatures), in another spelling (`texts.spelled`), or of another case in CAPITALS (which
        may lack their accents, as they do in Greek) and where the whole text is in Title Case.
        """
        # Here and not before the vocabulary: what it holds is read as it always was, and only it can tell
        # that "Hund" has a capital and "US" is no pronoun. The first word of an ordinary sentence is left to
        # its pieces: models were trained on it so, and must answer as before.
        titled = _titled(found)
        return [known for word in found for known in self._known_as(word, titled)]

    def save(self, folder: Path) -> None:
        """Write `folder/ngrams.json`."""
        config = asdict(self.config)
        # Older versions, and the name of a model, know nothing of what is not thrown away.
        for name in ("strip_accents", "strip_punctuation"):
            if not config[name]:
                del config[name]
        stored = {
            "config": config,
            "pieces": self.vocabulary,
            "added": self.added,
            "links": self.links,
        }
        write_text(folder / VOCABULARY, json.dumps(stored, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> Spelling:
        """Read what `save` wrote."""
        stored: dict[str, Any] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        config = SmallTextConfig(**stored["config"])
        return cls(config, stored["pieces"], stored.get("added", ()), stored.get("links"))

    def _read(self, text: str) -> list[str]:
        return read(self._with_known_signs(text), self.config, self.known)

    def _with_known_signs(self, text: str) -> str:
        """Write signs that the vocabulary does not hold as those which they stand for."""
        if text.isascii() and "`" not in text:
            return text

        def vowel(found: re.Match[str]) -> str:
            sign, whole = ("ํ", "\u0e33") if "ํ" in found[0] else ("ໍ", "\u0eb3")
            return found[0] if sign in self._held_signs else "".join(filter(None, found.groups())) + whole

        return _PIECES_OF_AM.sub(vowel, visible(text).translate(self._signs))

    def _known_as(self, word: str, titled: bool) -> tuple[str, ...]:
        if f"<{word}>" in self.row or unspaced(word):
            return (word,)
        found = self._known_words.get((word, titled))
        if found is None:
            found = self._known_otherwise(word, titled)
            if len(self._known_words) < 200_000:  # as in `rows`
                self._known_words[word, titled] = found
        return found

    def _known_otherwise(self, word: str, titled: bool) -> tuple[str, ...]:
        plain = folded(normalize("NFKC", word).replace("_", " "), self.config)
        if plain != word:
            return tuple(known for part in words(plain) for known in self._known_as(part, titled)) or (word,)
        same = self._same(self._by_spelling, word)
        if same is not None:
            return (same,)
        capitals = word.isupper() and len(word) > 1
        # Not small words of which no piece is known: training reads them as they are, so that a run goes on
        # as it was begun.
        if capitals or titled:
            same = self._same(self._by_case, word.casefold(), _turkish(word))
            if same is None and capitals:
                same = self._by_letters.get(_bare(word))
            if same is not None:
                return (same,)
        # "BLACKISH", "كـــلبي", of which no spelling is known whole: pieces were learnt in small letters, and
        # of what is written.
        small = word.lower().replace("i\u0307", "i")  # the dot is what Python makes of the Turkish İ
        usual = written(small if capitals else word)
        return (usual,) if len(self._own_rows(usual)) > len(self._own_rows(word)) else (word,)

    def _same(self, known: Mapping[str, str], *others: str) -> str | None:
        """The known word that one of these is by its spelling, or within quotes."""
        for word in map(spelled, others):
            same = known.get(word) or known.get(word[1:].rstrip("'") if word.startswith("'") else word)
            if same is not None:
                return same
        return None

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        """Known words by their spelling; the most frequent one, which stands first."""
        found: dict[str, str] = {}
        for piece in self.vocabulary:
            if len(piece) > 2 and piece[0] == "<" and piece[-1] == ">":
                found.setdefault(spelled(piece[1:-1]), piece[1:-1])
        return found

    @cached_property
    def _by_case(self) -> dict[str, str]:
        """Known words by what they are in any case; the most frequent one, which stands first."""
        found: dict[str, str] = {}
        for spelling, word in self._by_spelling.items():
            found.setdefault(spelling.casefold(), word)
        return found

    @cached_property
    def _by_letters(self) -> dict[str, str]:
        """Known words by their letters alone."""
        found: dict[str, str] = {}
        for word in self._by_case.values():
            found.setdefault(_bare(word), word)
        return found

    def _own_rows(self, word: str) -> list[int]:
        config = self.config
        named = [self.row.get(piece) for piece in pieces(word, config.shortest, config.longest)]
        return self._chosen([row for row in named if row is not None], named[0])

    def _linked(self, word: str) -> tuple[str, ...]:
        """The words that `word` is linked to; a pair of characters without a link has that of its first."""
        word = word.lower()
        found = self.links.get(word)
        if found is None and unspaced(word[:1]):
            found = self.links.get(word[0])
        return found or ()

    def _chosen(self, found: list[int], whole: int | None) -> list[int]:
        """Choose, of the known pieces of a word, those that it is read by, in their order.

        The pieces of an extension count where they are most of the word, or hold it whole: what a language
        brings must not change how unknown words of the others are read.
        """
        ends = [*self._first_rows, len(self.vocabulary) + 1]
        chosen = [row for row in found if row < ends[0]]
        for first, end in pairwise(ends):
            new = [row for row in found if first <= row < end]
            if len(new) > len(chosen) or (whole is not None and first <= whole < end):
                chosen += new
        return [row for row in found if row in chosen]
