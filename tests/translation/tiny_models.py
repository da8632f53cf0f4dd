"""Tiny translation models with random weights, one of each convention, in folders."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

SENTENCES = ["a dog runs on the grass", "two men sit near a red car", "um cão corre na grama", "dois homens"]
SMALL = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.5}
SMALL |= {
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


def make(kind: str, folder: Path) -> Path:
    """A folder of a model of the convention `kind`: m2m, nllb, marian, bilingual or madlad."""
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*sacremoses")
        tokenizer, model = _KINDS[kind](folder)
        tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def _pieces(folder: Path, symbols: list[str]) -> tuple[Path, list[str]]:
    import sentencepiece

    (folder.parent / "text.txt").write_text("\n".join(SENTENCES * 20), encoding="utf-8")
    prefix = folder.parent / f"{folder.name}-spm"
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder.parent / "text.txt"),
        model_prefix=str(prefix),
        vocab_size=80,
        hard_vocab_limit=False,
        user_defined_symbols=symbols,
        minloglevel=2,
    )
    path = Path(f"{prefix}.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return path, [processor.id_to_piece(i) for i in range(3, len(processor))]


def _vocabulary(folder: Path, first: list[str], symbols: list[str]) -> tuple[Path, Path, int]:
    spm, pieces = _pieces(folder, symbols)
    tokens = list(dict.fromkeys([*first, *pieces]))
    path = folder.parent / f"{folder.name}-vocab.json"
    path.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    return spm, path, len(tokens)


def _m2m(folder: Path) -> tuple[Any, Any]:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    spm, vocabulary, size = _vocabulary(folder, ["<s>", "<pad>", "</s>", "<unk>"], [])
    tokenizer = M2M100Tokenizer(str(vocabulary), str(spm))
    config = M2M100Config(vocab_size=size + 108, max_position_embeddings=64, **SMALL)
    return tokenizer, M2M100ForConditionalGeneration(config)


def _nllb(folder: Path) -> tuple[Any, Any]:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    _, pieces = _pieces(folder, [])
    tokens = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *pieces])
    tokenizer = NllbTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    config = M2M100Config(vocab_size=len(tokenizer), max_position_embeddings=256, **SMALL)
    model = M2M100ForConditionalGeneration(config)
    # Without this, random weights would prefer the 200 language codes to the few words.
    model.model.shared.weight.data[len(tokens) :] *= 0.01
    return tokenizer, model


def _marian(folder: Path, codes: tuple[str, ...] = (">>por<<", ">>spa<<")) -> tuple[Any, Any]:
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    spm, vocabulary, size = _vocabulary(folder, ["</s>", "<unk>", *codes], [])
    words = json.loads(vocabulary.read_text(encoding="utf-8")) | {"<pad>": size}
    vocabulary.write_text(json.dumps(words), encoding="utf-8")
    tokenizer = MarianTokenizer(str(spm), str(spm), str(vocabulary))
    special = {"pad_token_id": size, "decoder_start_token_id": size, "eos_token_id": 0}
    config = MarianConfig(vocab_size=size + 1, max_position_embeddings=256, **special, **SMALL)
    return tokenizer, MarianMTModel(config)


def _bilingual(folder: Path) -> tuple[Any, Any]:
    return _marian(folder, ())


def _madlad(folder: Path) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    first = ["<pad>", "</s>", "<unk>", "<2pt>", "<2es>"]
    tokens = dict.fromkeys([*first, *" ".join(SENTENCES).split()])
    words = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = T5Config(
        vocab_size=len(tokens), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, initializer_factor=9.0
    )
    config.decoder_start_token_id = 0
    return tokenizer, T5ForConditionalGeneration(config)


_KINDS = {"m2m": _m2m, "nllb": _nllb, "marian": _marian, "bilingual": _bilingual, "madlad": _madlad}
