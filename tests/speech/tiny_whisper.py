"""Whisper models of random weights, in the forms of both libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

WORDS, ENGLISH, MULTILINGUAL = 50_257, 51_864, 51_865
"""Tokens before the special ones, and all; by their number libraries tell a model of English from others."""
CODES = tuple(LANGUAGES)[:99]
END, START = "<|endoftext|>", "<|startoftranscript|>"
SPECIAL = (
    *(END, START, *(f"<|{code}|>" for code in CODES)),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"),
    "<|notimestamps|>",
)
IDS = {token: WORDS + number for number, token in enumerate(SPECIAL)}
NEVER, NOT_FIRST = [1, 2, IDS[START]], [0, IDS[END]]
"""Tokens that are suppressed: everywhere, and at the beginning."""


def save_tiny(folder: Path, *, multilingual: bool = True, bands: int = 80) -> Path:
    """A folder as transformers saves it, with the same weights each time."""
    words = {f"w{number}": number for number in range(WORDS)}
    plain = Tokenizer(models.WordLevel({**words, **IDS}, "w0"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=END, pad_token=END)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    torch.manual_seed(3)
    ends: dict[str, Any] = {"eos_token_id": IDS[END], "pad_token_id": IDS[END]}
    ends["decoder_start_token_id"] = IDS[START]
    sizes = ("encoder_attention_heads", "decoder_attention_heads", "encoder_layers", "decoder_layers")
    config = WhisperConfig(
        vocab_size=MULTILINGUAL if multilingual else ENGLISH,
        num_mel_bins=bands,
        d_model=16,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        init_std=0.6,
        bos_token_id=IDS[END],
        **dict.fromkeys(sizes, 1),
        **ends,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        lang_to_id={f"<|{code}|>": IDS[f"<|{code}|>"] for code in CODES},
        suppress_tokens=NEVER,
        begin_suppress_tokens=NOT_FIRST,
        alignment_heads=[[0, 0]],
        no_timestamps_token_id=IDS["<|notimestamps|>"],
        **ends,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def convert_tiny(folder: Path, **shape: Any) -> Path:
    """The same model converted by CTranslate2, with its tokenizer beside it."""
    from ctranslate2.converters import TransformersConverter

    saved = save_tiny(folder.parent / f"{folder.name}-saved", **shape)
    TransformersConverter(str(saved), copy_files=["tokenizer.json"]).convert(str(folder))
    return folder
