"""Whisper as transformers saves it: a folder, or a hub id such as openai/whisper-base. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.models.hub import (
    config_in,
    loading,
    pretrained,
    read_json,
    require_safetensors,
    require_trained,
    tokenizer_in,
)
from dragoman.speech.recognisers.whisper import BEAMS, MOST_TOKENS, NO_SPEECH, START, Whisper, Written

LAYOUT = "Whisper of transformers (config.json, a tokenizer and *.safetensors), or its hub id"
MODEL_TYPE = "whisper"
ENGLISH_ALONE = 51_864
"""Tokens of the models of English; those of many languages have one more for each that was added."""


def reads(name: str) -> bool:
    """Tell whether a folder says that it holds a Whisper model."""
    file = Path(name) / "config.json"
    return file.is_file() and read_json(file).get("model_type") == MODEL_TYPE


def load(name: str, device: str) -> Whisper:
    """Load the model. Raises UserError where weights are missing, or pickled."""
    folder = Path(name)
    model = _model(folder, device)
    with loading(folder, "recogniser of speech"):
        tokenizer = tokenizer_in(folder)
        special = tokenizer.get_added_vocab()
        if START not in special or not any(token in special for token in NO_SPEECH):
            raise UserError(f"The tokenizer of {folder} has no tokens of Whisper. Download the model again.")
        multilingual = config_in(folder).vocab_size > ENGLISH_ALONE
        return HuggingFaceWhisper(model, tokenizer, multilingual)


def encoder(folder: Path, device: str) -> Any:
    """Load its encoder alone, a module of PyTorch. Raises UserError as `load`."""
    return _model(folder, device).get_encoder()


def _model(folder: Path, device: str) -> Any:
    require_safetensors(folder)
    with loading(folder, "recogniser of speech"):
        import transformers

        from dragoman.models.vision import checked_device

        device = checked_device(device)
        model, missing = pretrained(transformers.WhisperForConditionalGeneration, folder)
        # The head is tied to the embeddings of tokens.
        require_trained(folder, [one for one in missing if not one.startswith("proj_out")])
        return model.eval().requires_grad_(False).to(device)


class HuggingFaceWhisper(Whisper):
    """Beam search without sampling."""

    def __init__(self, model: Any, tokenizer: Any, multilingual: bool) -> None:
        self._special: dict[str, int] = tokenizer.get_added_vocab()
        super().__init__(list(self._special), multilingual=multilingual)
        self._model, self._tokenizer = model, tokenizer
        self.bands = int(model.config.num_mel_bins)
        said = model.generation_config
        # Signs that nobody says, and at the beginning the end (the authors' `decoding.py`).
        self._never = list(getattr(said, "suppress_tokens", None) or [])
        self._not_first = list(getattr(said, "begin_suppress_tokens", None) or [])

    def _encoded(self, mel_MF: NDArray[np.float32]) -> Any:
        import torch

        with torch.inference_mode():
            mel = torch.from_numpy(mel_MF)[None].to(self._model.device)
            return self._model.get_encoder()(mel)

    def _languages(self, encoded: Any) -> dict[str, float]:
        ids = [self._special[f"<|{code}|>"] for code in self._codes.values()]
        logits_V = self._logits(encoded, [self._special[START]])[0]
        found = logits_V[ids].softmax(-1).tolist()
        return dict(zip(self._codes.values(), found, strict=True))

    def _written(self, encoded: Any, prompt: list[str]) -> Written:
        import torch
        from transformers import GenerationConfig, GenerationMixin

        given: list[int] = self._tokenizer.convert_tokens_to_ids(prompt)
        config = self._model.config
        how = GenerationConfig(
            num_beams=BEAMS,
            do_sample=False,
            max_new_tokens=min(MOST_TOKENS, config.max_target_positions - len(given)),
            suppress_tokens=self._never or None,
            begin_suppress_tokens=self._not_first or None,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
            decoder_start_token_id=config.decoder_start_token_id,
        )
        with torch.inference_mode():
            # Not Whisper's own `generate`, which cuts sounds and chooses prompts in its own way.
            (ids,) = GenerationMixin.generate(
                self._model,
                encoder_outputs=encoded,
                decoder_input_ids=torch.tensor([given], device=self._model.device),
                generation_config=how,
            ).tolist()
        written = ids[len(given) :]
        end = config.eos_token_id
        # With one end, where the text was not cut before it.
        written = written[: written.index(end) + 1] if end in written else written
        return Written(written, *self._judged(encoded, given, written))

    def _judged(self, encoded: Any, given: list[int], written: list[int]) -> tuple[float, float]:
        """Mean logarithm of the probabilities of tokens that were written, and the probability of no
        speech."""
        logits_LV = self._logits(encoded, given + written)
        silent = next(self._special[token] for token in NO_SPEECH if token in self._special)
        # What was said before stands before the start.
        no_speech = float(logits_LV[given.index(self._special[START])].softmax(-1)[silent])
        logits_LV = logits_LV[len(given) - 1 : -1].clone()
        logits_LV[:, self._never] = -float("inf")
        logits_LV[0, self._not_first] = -float("inf")
        chosen_L = logits_LV.log_softmax(-1)[range(len(written)), written]
        return float(chosen_L.mean()), no_speech

    def _logits(self, encoded: Any, ids: list[int]) -> Any:
        """[L, V] behind each of the tokens."""
        import torch

        with torch.inference_mode():
            ids_1L = torch.tensor([ids], device=self._model.device)
            answer = self._model(encoder_outputs=encoded, decoder_input_ids=ids_1L)
            return answer.logits[0].float()

    def _tokens(self, text: str) -> list[str]:
        found: list[str] = self._tokenizer.tokenize(text)
        return found

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))
