"""Whisper, converted by CTranslate2: fast without a GPU, and without PyTorch.

    ct2-transformers-converter --model openai/whisper-base --quantization int8 --output_dir whisper \\
        --copy_files tokenizer.json
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman import forks
from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.models.hub import read_json
from dragoman.speech.recognisers.whisper import BEAMS, MOST_TOKENS, Whisper, Written

LAYOUT = "Whisper converted by CTranslate2 (model.bin, config.json and tokenizer.json)"
COMPUTE = "auto"
"""Arithmetic: the fastest that the device has, int8 on most, whatever the model was converted to."""
CONVERT = (
    "Convert it: ct2-transformers-converter --model openai/whisper-base --quantization int8 "
    "--output_dir FOLDER --copy_files tokenizer.json"
)


def reads(name: str) -> bool:
    """Tell whether a folder holds a converted model of speech: those of translation suppress no tokens."""
    folder = Path(name)
    if not (folder / "model.bin").is_file() or not (folder / "config.json").is_file():
        return False
    return "suppress_ids" in read_json(folder / "config.json")


def load(name: str, device: str) -> Whisper:
    """Load the model. Raises UserError where files are missing or damaged."""
    try:
        import ctranslate2
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(error.name or "ctranslate2", "speech", "Recognising speech") from None
    file = Path(name) / "tokenizer.json"
    if not file.is_file():
        raise UserError(f"{name} has no tokenizer.json. {CONVERT}")
    where, _, number = device.partition(":")

    def opened() -> Any:
        return ctranslate2.models.Whisper(
            name, device=where, device_index=int(number or 0), compute_type=COMPUTE
        )

    try:
        tokenizer = Tokenizer.from_file(str(file))
        return CTranslate2Whisper(opened, tokenizer)
    except Exception as error:
        # The tokenizer's library raises bare exceptions.
        raise UserError(f"{name} cannot be loaded as a recogniser: {reason(error)}. {CONVERT}") from None


class CTranslate2Whisper(Whisper):
    """One sound at a time is worked on; others wait in the library's own queue.

    A child of a fork opens the model anew: threads that work on sounds stayed with the parent.
    """

    def __init__(self, opened: Callable[[], Any], tokenizer: Any) -> None:
        self._opened, self._tokenizer, model = opened, tokenizer, opened()
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        super().__init__(special, multilingual=model.is_multilingual)
        self.bands = int(model.n_mels)
        self._lock, self._found = threading.Lock(), model
        forks.watch(self)

    def before_fork(self) -> None:
        """Do nothing."""

    def renew_in_child(self) -> None:
        """Make a lock that nobody holds, and forget the model."""
        self._lock = threading.Lock()
        if self._found is not None:
            # For ever, also when Python ends: it would wait for threads that are not here.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._found))
        self._found = None

    @property
    def _model(self) -> Any:
        with self._lock:
            if self._found is None:
                self._found = self._opened()
            return self._found

    def _encoded(self, mel_MF: NDArray[np.float32]) -> Any:
        import ctranslate2

        return self._model.encode(ctranslate2.StorageView.from_array(mel_MF[None]))

    def _languages(self, encoded: Any) -> dict[str, float]:
        (found,) = self._model.detect_language(encoded)
        return {token.strip("<|>"): probability for token, probability in found}

    def _written(self, encoded: Any, prompt: list[str]) -> Written:
        (found,) = self._model.generate(
            encoded,
            [prompt],
            beam_size=BEAMS,
            max_length=2 * MOST_TOKENS,  # half of it, as in the authors' code, is for the text
            return_scores=True,
            return_no_speech_prob=True,
        )
        ids = found.sequences_ids[0]
        # Its score is the mean over the tokens alone, of a sum that holds the end.
        mean = found.scores[0] * len(ids) / (len(ids) + 1)
        return Written(ids, mean, found.no_speech_prob)

    def _tokens(self, text: str) -> list[str]:
        found: list[str] = self._tokenizer.encode(text, add_special_tokens=False).tokens
        return found

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
