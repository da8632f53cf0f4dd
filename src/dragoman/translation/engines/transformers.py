"""Any sequence-to-sequence model (Marian, M2M-100, NLLB, MADLAD, mBART-50): `transformers:FOLDER_OR_HUB_ID`.

Needs `dragoman[train]`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError, UserError
from dragoman.grouping import by_length
from dragoman.languages import Language
from dragoman.translation.engine import (
    Engine,
    EngineError,
    Rejected,
    describe_options,
    fingerprint,
    require_argument,
)
from dragoman.translation.models import (
    Codes,
    codes,
    content_hash,
    first_line,
    load_tokenizer,
    longest_answer,
    vocabulary,
)

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The search for a translation."""

    beams: int = 4
    """Translations that are followed at once; 1 is greedy."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise ValueError(f"beams must be at least 1, got {self.beams}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")


def build(
    argument: str, source: Language, target: Language, options: Config, device: str | None
) -> TransformersEngine:
    """The engine of a folder, or else of a hub id (HF_HUB_OFFLINE is respected). Weights are safetensors."""
    name = require_argument(argument, "transformers:facebook/m2m100_418M")
    try:
        import torch
        from transformers import AutoModelForSeq2SeqLM
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train", "The engine 'transformers'") from None
    tokenizer = load_tokenizer(name, "train")
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(
            name, dtype=getattr(torch, options.dtype), use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name} gives no sequence-to-sequence model in safetensors: {first_line(error)}. Pickled "
            "weights are never read; choose a model with a model.safetensors."
        ) from None
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model.to(where)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"The device {where!r} cannot be used: {first_line(error)}. Try --device cpu"
        ) from None
    folder = Path(name)
    label = (folder.resolve().name if folder.is_dir() else name) + describe_options(options)
    weights = content_hash(folder) if folder.is_dir() else str(model.config._commit_hash)
    pair = codes(vocabulary(tokenizer), source, target, name)
    version = fingerprint({"weights": weights, "options": options, "codes": pair})
    return TransformersEngine(label, version, model, tokenizer, pair, options)


BATCH_TOKENS = 2048
"""Tokens of a batch of lines, padding among them."""


class TransformersEngine(Engine):
    """Beam search without sampling; lines of like length go together."""

    batch_size = 64
    runs_on_gpu = True

    def __init__(
        self, label: str, version: str, model: Any, tokenizer: Any, pair: Codes, options: Config
    ) -> None:
        self.name = f"transformers:{label}"
        self.version = version
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._pair = pair
        self._options = options
        if pair.source:
            tokenizer.src_lang = pair.source

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        deadline = time.monotonic() + timeout
        texts = [f"{self._pair.prefix} {line}" if self._pair.prefix else line for line in lines]
        rows = self._tokenizer(texts)["input_ids"]
        limit = self._longest_input()
        results: list[str | Rejected] = [
            Rejected(f"it has {len(row)} tokens, and the model reads at most {limit}") for row in rows
        ]
        fitting = [i for i, row in enumerate(rows) if len(row) <= limit]
        # The lines of a batch have one bound on their answers: none must be cut because of its neighbours.
        batches = by_length([len(rows[i]) for i in fitting], tokens=BATCH_TOKENS, kind=longest_answer)
        for group in ([fitting[i] for i in batch] for batch in batches):
            if time.monotonic() > deadline:
                raise EngineError(f"the model did not finish within {timeout:.3g} s")
            try:
                answers = self._generate([rows[i] for i in group])
            except RuntimeError as error:  # Memory among others: half of the lines may fit.
                raise EngineError(first_line(error)) from None
            for i, answer in zip(group, answers, strict=True):
                results[i] = answer
        return results

    def _generate(self, rows: list[list[int]]) -> list[str]:
        import torch

        padded = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._model.device)
        begin = {}
        if self._pair.forced:
            begin["forced_bos_token_id"] = self._tokenizer.convert_tokens_to_ids(self._pair.forced)
        with torch.inference_mode():
            tokens = self._model.generate(
                input_ids=padded["input_ids"],
                attention_mask=padded["attention_mask"],
                num_beams=self._options.beams,
                do_sample=False,
                # The rows of a batch have one bound, so that any of them tells it.
                max_new_tokens=min(longest_answer(len(rows[-1])), self._longest_input() - 1),
                **begin,
            )
        # Not every tokenizer knows its language codes as special tokens, so that decoding would keep it.
        words = tokens[:, 2:] if begin else tokens
        decoded: list[str] = self._tokenizer.batch_decode(words, skip_special_tokens=True)
        return decoded

    def _longest_input(self) -> int:
        config = self._model.config
        positions = getattr(config, "max_position_embeddings", None)
        return min(int(self._tokenizer.model_max_length), int(positions or 10**9))
