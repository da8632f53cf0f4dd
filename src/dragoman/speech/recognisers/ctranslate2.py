"""Whisper, converted by CTranslate2: fast without a GPU, and without PyTorch.

    ct2-transformers-converter --model openai/whisper-base --quantization int8 --output_dir whisper \\
        --copy_files tokenizer.json
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    try:
        tokenizer = Tokenizer.from_file(str(file))
        model = ctranslate2.models.Whisper(
            name, device=where, device_index=int(number or 0), compute_type=COMPUTE
        )
    except Exception as error:
        # The tokenizer's library raises bare exceptions.
        raise UserError(f"{name} cannot be loaded as a recogniser: {reason(error)}. {CONVERT}") from None
    return CTranslate2Whisper(model, tokenizer)


class CTranslate2Whisper(Whisper):
    """One sound at a time is worked on; others wait in the library's own queue."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        super().__init__(special, multilingual=model.is_multilingual)
        self._model, self._tokenizer, self.bands = model, tokenizer, int(model.n_mels)

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

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
