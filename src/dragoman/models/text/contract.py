"""Contract of the text encoders that learn (`Encoder` of a kind): texts in, token states out, in three steps.

`prepare` is CPU work; `embed` runs once over all texts of a step; `forward` runs on batches of texts of
similar length, so that little is computed on padding.

T texts, L tokens of the longest text in the batch, H width of the states; V words that can be
predicted, W width of their vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.text import TextConfig
from dragoman.models.text.vectors import KeptStates, KeptVectors


def no_vectors(name: str) -> Any:
    """Raise UserError: there is no corpus whose texts have any."""
    raise UserError(f"There is no corpus to look {name!r} up in.")


@dataclass(frozen=True, kw_only=True)
class Material:
    """Texts that an encoder may be fitted on. Each part is made when it is asked for: some cost minutes."""

    texts: Callable[[], Iterable[str]]
    """The training captions."""
    source_texts: Callable[[], Iterable[str]] = list
    """Those in the source language, by people."""
    known: Mapping[str, tuple[str, ...]]
    """Words that a vocabulary shall hold however often they occur, with source words that they render."""
    links: Callable[[Any], Mapping[str, Sequence[str]]]
    """Source words of words of other languages, as the settings of an encoder ask for them."""
    kept: Callable[[str], KeptVectors] = no_vectors
    """A set of vectors of the corpus's texts, by its name."""
    states: Callable[[str], KeptStates] = no_vectors
    """A set of states of their tokens, by its name."""
    by_language: Callable[[], Mapping[str, Sequence[str]]] = dict
    """The training captions of each target language."""
    joint: int = 0
    """J, width of the space that the texts are put into."""


class TextEncoder(nn.Module, ABC):
    """A trunk that turns texts into contextual token states. Pooling and heads live in the dual encoder.

    Case and accents are kept. States of one text must not depend on its batch-mates or on padding.
    """

    config: TextConfig
    width: int
    """H."""
    tokenizer: Any
    """Cuts texts into tokens; of whatever class."""
    by_length = True
    """True where little is computed on padding if texts of similar length go together; False where padding
    costs less than the batches do."""
    pretrained = False
    """True for weights that were learned elsewhere: they have a learning rate of their own."""
    adapted: tuple[str, ...] = ()
    """Languages that have parts of their own: `prepare_in` is told which one a text is in."""

    @classmethod
    @abstractmethod
    def fresh(cls, config: Any, material: Material) -> Self:
        """Make the encoder that a training begins with."""

    @classmethod
    @abstractmethod
    def from_assets(cls, folder: Path) -> Self:
        """Make the module without its trained weights, from what `save_assets` wrote."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a text at most; longer texts are cut."""
        return self.config.max_tokens

    @property
    def table(self) -> Tensor | None:
        """[V, H] vectors of the vocabulary, where it grows: further rows come last. Else None."""
        return None

    def extended(self, texts: Iterable[str], known: Iterable[str] = ()) -> TextEncoder:
        """Return a copy that reads further languages, and known texts as before; itself where it is fixed."""
        return self

    def learn_on(self, config: Any) -> None:
        """Let a finished encoder learn on as `config` says, the settings that it was begun with."""

    @abstractmethod
    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, for length bucketing."""

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Count the tokens of each text that are read; None where that cannot be told."""
        return self.lengths(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known; of an empty one, nothing is."""
        return [bool(text.strip()) for text in texts]

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        """Tell of each text which share of its words is known whole, 0 to 1; 1 where there are no words."""
        return [1.0] * len(texts)

    def encoder_shares(self, texts: Sequence[str]) -> list[float]:
        """Tell of each text how surely a frozen encoder beside this one reads it, as far as its words tell.

        From 0 to its share of known words.
        """
        return self.known_shares(texts)

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """CPU tensors of one padded batch; `mask` is boolean [T, L], true at real tokens.

        Every text has at least one token, also an empty one. Pure Python and NumPy work: it may run in
        another thread.
        """

    def prepare_in(self, texts: Sequence[str], languages: Sequence[str]) -> dict[str, Tensor]:
        """Do the same for texts in languages named by BCP 47 tags, which matter to `adapted` ones alone."""
        return self.prepare(texts)

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        """Make the input of `forward`, [T, L, ...], of that of `prepare`; token ids unless overridden."""
        return inputs["input_ids"]

    @abstractmethod
    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Token states [T, L, H] of some rows of `embed`'s result, cut to the longest, and their mask."""

    def finished(self) -> dict[str, Tensor]:
        """Weights that a model folder holds: those of the module that `from_assets` makes."""
        return self.state_dict()

    @abstractmethod
    def save_assets(self, folder: Path) -> None:
        """Write what the weights do not hold (vocabulary, configuration) into `folder/text/`.

        Files there decide the identity of a model; so do those of the two first kinds, which lie elsewhere.
        """

    def labels(self, inputs: dict[str, Tensor], limit: int) -> Tensor:
        """[T, L] what to predict where a token is hidden; -1 for padding, special tokens, and rare words.

        Where a vocabulary of words is fitted, the `limit` most frequent can be predicted. Raises UserError
        where tokens cannot be hidden.
        """
        raise UserError(f"{type(self).__name__} hides no words: --set loss.cmlm_weight=0")

    def label_table(self, limit: int) -> Tensor:
        """[V, W] the vectors of what can be predicted, in the order of `labels`."""
        raise UserError(f"{type(self).__name__} hides no words: --set loss.cmlm_weight=0")

    def corrupt(self, inputs: dict[str, Tensor], hidden_TL: Tensor, swapped_TL: Tensor) -> dict[str, Tensor]:
        """Inputs with tokens hidden, or swapped for random ones that are not special."""
        raise UserError(f"{type(self).__name__} hides no words: --set loss.cmlm_weight=0")
