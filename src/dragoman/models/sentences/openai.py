"""A model behind a server with `/v1/embeddings` as OpenAI has it, `openai:MODEL`.

The server is that of OPENAI_BASE_URL, the key that of OPENAI_API_KEY. Its vectors are known again by address,
model name and golden texts, as the weights cannot be seen.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.endpoints import Endpoint, RequestError, base_url
from dragoman.errors import UserError
from dragoman.models.sentences import GOLDEN_TEXTS, TextSide

PREFIX = "openai:"
LAYOUT = f"or {PREFIX}MODEL of the server that OPENAI_BASE_URL names"
NUMPY = True
MOST = 64
"""Texts of a request; fewer where a server takes fewer."""
TIMEOUT = 60.0
"""Seconds for a request."""


def reads(folder: Path) -> bool:
    """Tell whether this is a name with the prefix; no server is asked."""
    return str(folder).startswith(PREFIX)


def address(folder: Path) -> str:
    """Find the server: texts go nowhere but where the environment says."""
    return base_url()


def width(folder: Path) -> int:
    """J, as the server shows by a text."""
    return load(folder, "cpu").width


def fingerprint(folder: Path) -> str:
    """Hash address and model name."""
    return hashlib.sha256(json.dumps([address(folder), _model(folder)]).encode()).hexdigest()


def load(folder: Path, device: str) -> TextSide:
    """Return the encoder, of which nothing is asked yet. Raises UserError where the public server has no
    key."""
    return ServedText(_model(folder), Endpoint.open(f"The encoder {str(folder)!r}", address(folder)))


class ServedText(TextSide):
    """A text encoder behind an endpoint; may be asked by several threads.

    Raises UnavailableError where the server does not answer, and UserError for a text that it refuses.
    """

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self._model, self._endpoint, self._most = model, endpoint, MOST

    @cached_property
    def width(self) -> int:  # type: ignore[override]
        """J, as a first answer shows."""
        return int(self._vectors(list(GOLDEN_TEXTS[:1])).shape[1])

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        start = 0
        while start < len(given):
            texts = given[start : start + self._most]
            try:
                found.append(self._answer(texts))
                start += len(texts)
            except RequestError as error:
                if len(texts) == 1:
                    raise UserError(
                        f"{self._endpoint.url} gives no vector by {self._model!r} for the text "
                        f"{texts[0][:200]!r}: {error}. Correct it, or check OPENAI_BASE_URL and the model."
                    ) from None
                # Servers differ in how many texts, and how long ones, a request may hold.
                self._most = len(texts) // 2
        return np.concatenate(found)

    def _answer(self, texts: list[str]) -> NDArray[np.float32]:
        """[N, J] of the texts of one request."""
        # An empty text is refused by most.
        body = {"model": self._model, "input": [text or " " for text in texts]}
        answer = self._endpoint.post("/embeddings", body, TIMEOUT)
        try:
            rows = sorted(json.loads(answer)["data"], key=lambda one: one["index"])
            vectors = np.array([one["embedding"] for one in rows], np.float32)
            numbers = [one["index"] for one in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"the answer is no list of embeddings ({error!r})") from None
        sound = vectors.ndim == 2 and vectors.size > 0 and np.isfinite(vectors).all()
        if not sound or numbers != list(range(len(texts))):
            raise RequestError(f"the answer does not hold a vector of numbers for each of {len(texts)} texts")
        return vectors


def _model(folder: Path) -> str:
    return str(folder).removeprefix(PREFIX)
