"""Sequence-to-sequence models, converted; in int8 fast without a GPU: `ctranslate2:FOLDER`.

Needs `dragoman[ctranslate2]`.

    ct2-transformers-converter --model facebook/m2m100_418M --quantization int8 --output_dir m2m \\
        --copy_files tokenizer_config.json sentencepiece.bpe.model vocab.json special_tokens_map.json
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError, UserError
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


@dataclass(frozen=True, kw_only=True)
class Config:
    """The search for a translation."""

    beams: int = 4
    """Translations that are followed at once; 1 is greedy."""
    compute: str = "default"
    """Arithmetic of CTranslate2: default (as converted), int8, int8_float16, float16, float32 …"""
    tokenizer: str = ""
    """Folder or hub id of the tokenizer; the model folder itself by default."""


def build(
    argument: str, source: Language, target: Language, options: Config, device: str | None
) -> CTranslate2Engine:
    """The engine of a converted folder that holds its tokenizer's files as well."""
    folder = Path(require_argument(argument, "ctranslate2:m2m100-int8"))
    try:
        import ctranslate2
    except ImportError:
        raise MissingExtraError("ctranslate2", "ctranslate2", "The engine 'ctranslate2'") from None
    if not (folder / "model.bin").is_file():
        raise UserError(
            f"{folder} is no converted model: it has no model.bin. Convert one: ct2-transformers-converter "
            f"--model HUB_ID --quantization int8 --output_dir {folder} --copy_files tokenizer_config.json …"
        )
    tokenizer = load_tokenizer(options.tokenizer or str(folder), "ctranslate2")
    where, _, number = (device or "auto").partition(":")
    try:
        model = ctranslate2.Translator(
            str(folder), device=where, device_index=int(number or 0), compute_type=options.compute
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"CTranslate2 cannot open {folder}: {first_line(error)}") from None
    pair = codes(vocabulary(tokenizer), source, target, str(folder))
    version = fingerprint({"folder": content_hash(folder), "options": options, "codes": pair})
    label = folder.resolve().name + describe_options(options)
    return CTranslate2Engine(label, version, model, tokenizer, pair, options)


class CTranslate2Engine(Engine):
    """Beam search; CTranslate2 itself groups lines of like length."""

    batch_size = 256
    runs_on_gpu = True

    def __init__(
        self, label: str, version: str, model: Any, tokenizer: Any, pair: Codes, options: Config
    ) -> None:
        self.name = f"ctranslate2:{label}"
        self.version = version
        self._model = model
        self._tokenizer = tokenizer
        self._pair = pair
        self._options = options
        if pair.source:
            tokenizer.src_lang = pair.source

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        texts = [f"{self._pair.prefix} {line}" if self._pair.prefix else line for line in lines]
        rows = [self._tokenizer.convert_ids_to_tokens(ids) for ids in self._tokenizer(texts)["input_ids"]]
        begin = [self._pair.forced] if self._pair.forced else None
        answers: dict[int, str | Rejected] = {}
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        # A line must not be cut because of its neighbours: those of one bound go together.
        for bound, group in itertools.groupby(order, key=lambda i: longest_answer(len(rows[i]))):
            members = list(group)
            try:
                results = self._model.translate_batch(
                    [rows[i] for i in members],
                    target_prefix=[begin] * len(members) if begin else None,
                    beam_size=self._options.beams,
                    max_decoding_length=bound,
                    max_input_length=0,  # no limit: the default cuts longer lines without a word
                    max_batch_size=2048,
                    batch_type="tokens",
                )
            except RuntimeError as error:
                raise EngineError(first_line(error)) from None
            answers |= {
                i: self._text(result.hypotheses[0]) for i, result in zip(members, results, strict=True)
            }
        return [answers[i] for i in range(len(rows))]

    def _text(self, tokens: list[str]) -> str:
        if self._pair.forced and tokens[:1] == [self._pair.forced]:
            tokens = tokens[1:]
        ids = self._tokenizer.convert_tokens_to_ids(tokens)
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))
