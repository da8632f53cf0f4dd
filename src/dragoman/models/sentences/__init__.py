"""Text sides: texts in, one vector a text out; one file per kind of sentence encoder, found by its name.

`TextSide` is what trained, public and exported models have in common with encoders that read texts alone. A
frozen encoder is a module of this package with

    LAYOUT                 the folders that it reads, in words, for messages
    reads(folder)          tells whether a folder is laid out so; no weights are read
    width(folder)          J, as the folder says, without its weights
    fingerprint(folder)    sha256 over every file that may decide a vector
    load(folder, device)   its `TextSide`; raises UserError for what is damaged or not known
    LANGUAGES = (…)        those that it was trained on, where that is known
    NUMPY = True           where it needs no PyTorch, and runs on the CPU whatever the device
    address(folder)        the server that it asks, where it asks one

At most one kind reads a folder. Where an encoder comes as a package or from a server, `folder` is the bare
name that a user gives. Importing a module of this package brings neither PyTorch nor transformers.

N texts, J width of the vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.models.hub import model_folder
from dragoman.models.text.spelling import words
from dragoman.texts import legible, worded

SHARED = ("towers",)
GOLDEN_TEXTS = ("a dog runs on the beach", "Um cão corre na praia", "一只狗在海滩上奔跑")
"""Texts whose vectors are kept with a set or a model, to know its encoder again."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Choices that turn a text into a vector, beside the weights: with them, the same vector comes again."""

    prefix: str = ""
    """Stands before every text, as `query: ` of e5."""
    lowercase: bool = False
    folded: bool = True
    """Invisible characters, capitals and forms of letters are folded (`texts.legible`); False where the
    encoder does so by itself, as it knows which words its vocabulary holds."""
    longest: int | None = None
    """Tokens of a text; longer ones are cut. None where the encoder itself knows."""
    pool: str = "own"
    """`mean`, `first`, `last` or `max` of the token states; `own` where the encoder gives the vector;
    `own+mean` for both, end to end, of equal weight."""

    def given(self, texts: Sequence[str]) -> list[str]:
        """Return the texts as a tokenizer gets them."""
        return [self.prefix + text for text in self.bare(texts)]

    def bare(self, texts: Sequence[str]) -> list[str]:
        """Return the texts as a tokenizer gets them, but for the prefix."""
        read = map(legible, texts) if self.folded else texts
        return [text.lower() if self.lowercase else text for text in read]


class TextSide(ABC):
    """Texts in, vectors out. The vector of a text does not depend on the texts beside it.

    A kind says how its `Reading` is when it is loaded; `encode` then goes by it, whatever it is.
    """

    width: int
    """J."""
    reading = Reading()
    pools: tuple[str, ...] = ("own",)
    """Choices of `Reading.pool`."""
    unit = False
    """True for vectors of unit length; others are as long as the encoder made them."""

    def lengths(self, texts: Sequence[str]) -> Sequence[int]:
        """Measure each text, so that those of similar length are encoded together."""
        # Characters unless an encoder knows better: tokens would have to be made twice.
        return [len(text) for text in texts]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known; of an empty one, nothing is."""
        return [bool(text.strip()) for text in texts]

    def pieces(self, texts: Sequence[str]) -> list[list[str]] | None:
        """Cut texts into the pieces of a vocabulary that are read of them, "" for one that is not in it; None
        where that cannot be told."""
        return None

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Count the tokens of each text, by the vocabulary of the encoder; None where that cannot be told."""
        cut = self.pieces(texts)
        return None if cut is None else [len(found) for found in cut]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, J] of one batch of at least one text, in one pass; an empty text is a text."""
        return self._vectors(self.reading.given(texts))

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Cut texts into words in small letters, without punctuation.

        Scripts without spaces are cut into characters, unless an encoder knows better.
        """
        return [[word for word in words(text.lower()) if worded(word)] for text in self.reading.bare(texts)]

    @property
    def layers(self) -> int:
        """Number of layers whose `states` can be had; 0 where none can."""
        return 0

    def states(self, texts: Sequence[str], first: int) -> list[NDArray[np.float32]]:
        """[L, H] of each text of one batch: the states of its tokens that layer `first` reads, from 0."""
        raise NotImplementedError

    @abstractmethod
    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        """[N, J] of texts that stand as the tokenizer gets them."""


def kinds() -> list[str]:
    """List the kinds of encoders by their names."""
    return plugins.names(__name__)


def kind_of(folder: Path) -> ModuleType | None:
    """Find the kind that reads a folder."""
    found = (plugins.load(__name__, name, "sentence encoder") for name in kinds())
    return next((kind for kind in found if kind.reads(folder)), None)


def load_text_side(folder: Path, device: str = "cpu") -> TextSide:
    """Load the text side in a folder. Raises UserError where no kind reads it, or it is damaged."""
    kind = kind_of(folder)
    if kind is None:
        known = [plugins.load(__name__, name, "sentence encoder").LAYOUT for name in kinds()]
        raise UserError(f"{folder} holds no sentence encoder that is known: {'; '.join(known)}.")
    side: TextSide = kind.load(folder, device)
    return side


def encoder_folder(encoder: str | Path) -> Path:
    """Find an encoder: a folder, a bare name that some kind knows, or a hub id, which is fetched."""
    path = Path(encoder)
    return path if path.exists() or kind_of(path) is not None else model_folder(encoder)
