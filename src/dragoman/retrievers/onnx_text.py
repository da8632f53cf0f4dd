"""Texts to the inputs of an exported text graph, for both kinds of trunk. No torch, no transformers.

T texts, L tokens of the longest, U different words, P their pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError
from dragoman.models.text.spelling import Spelling

TOKENIZER = "tokenizer.json"


class TextReader(Protocol):
    """Turns texts into the inputs of the text graph."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text."""

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """What the graph reads, padded to the longest text."""


class Words:
    """Of the `small` trunk."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._spelling = Spelling.load(folder)
        self.lengths = self._spelling.lengths

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """As `Spelling.prepare`, and `owners` [P], the word of each piece."""
        found = self._spelling.prepare(texts)
        return found | {"owners": np.repeat(np.arange(len(found["sizes"])), found["sizes"])}


class Tokens:
    """Of a Hugging Face trunk; the tokenizer file says where texts are cut."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("tokenizers", "onnx", "Reading texts for an exported model") from None
        # Read first: the library reports a file that is missing as one of its own plain exceptions.
        self._tokenizer = Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))
        self._pad, self._end = int(config["pad_id"]), int(config["end_id"])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._ids(texts)]

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        rows = self._ids(texts)
        mask = np.zeros((len(rows), max(map(len, rows))), bool)
        input_ids = np.full(mask.shape, self._pad, np.int64)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = True
        return {"input_ids": input_ids, "mask": mask}

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        # Tokenizers without special tokens give nothing for an empty text.
        return [one.ids or [self._end] for one in self._tokenizer.encode_batch(list(texts))]


READERS: Mapping[str, type[Words] | type[Tokens]] = {"small": Words, "huggingface": Tokens}
