"""Tiny Hugging Face text encoders with random weights and a vocabulary of a few words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["a", "dog", "runs", "over", "the", "green", "grass", "Um", "cão", "Cão", "cao"]
BODY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def save_encoder(
    folder: Path, kind: str, lower_case: bool = False, words: Sequence[str] = tuple(WORDS), joint: int = 0
) -> Path:
    """A BERT, XLM-R, CLIP, T5, DistilBERT or ALBERT folder with three layers of width 16, 20 positions;
    `joint` is the width of the vectors of a CLIP whose ids are like those of published ones."""
    torch.manual_seed(0)
    # XLM-R pads with 1 and counts positions from there; the others pad with 0.
    special = (
        ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
        if kind == "xlm-roberta"
        else ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    )
    if joint:
        # The vector of a CLIP is that of the token with the largest id, or of the first end.
        special, words = list(words), ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: number for number, token in enumerate([*special, *words])}
    _model(kind, vocabulary, joint).save_pretrained(folder)
    _tokenizer(vocabulary, lower_case).save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: dict[str, int], lower_case: bool) -> transformers.PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if lower_case:
        folding = [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
        tokenizer.normalizer = normalizers.Sequence(folding)
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
    )


def _model(kind: str, vocabulary: dict[str, int], joint: int) -> Any:
    t = transformers
    ids = {"bos_token_id": vocabulary["[CLS]"], "eos_token_id": vocabulary["[SEP]"]}
    ids |= {"pad_token_id": vocabulary["[PAD]"], "vocab_size": len(vocabulary)}
    body = BODY | ids | {"max_position_embeddings": 20}
    if kind == "clip":
        vision = BODY | {"image_size": 32, "patch_size": 16}
        return t.CLIPModel(t.CLIPConfig(text_config=body, vision_config=vision, projection_dim=joint or 8))
    if kind == "t5":
        return t.T5ForConditionalGeneration(
            t.T5Config(
                d_model=16, num_layers=3, num_heads=2, d_kv=8, d_ff=32, **ids, decoder_start_token_id=0
            )
        )
    if kind == "distilbert":
        return t.DistilBertModel(
            t.DistilBertConfig(
                dim=16, n_layers=3, n_heads=2, hidden_dim=32, max_position_embeddings=20, **ids
            )
        )
    if kind == "albert":
        return t.AlbertModel(t.AlbertConfig(**body, embedding_size=8))
    if kind == "xlm-roberta":
        return t.XLMRobertaForMaskedLM(t.XLMRobertaConfig(**body))
    return t.BertModel(t.BertConfig(**body))
