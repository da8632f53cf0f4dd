"""Any text encoder that transformers loads: BERT, XLM-R, multilingual-e5, T5's encoder, decoder-only models.

Its states are pooled, by default as such encoders are used: the masked mean, or of decoder-only models the
last token, the one that has seen all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.errors import UserError
from dragoman.models.hub import (
    PAIR,
    config_in,
    files_hash,
    loading,
    pretrained,
    read_json,
    require_safetensors,
    require_trained,
    tokenizer_in,
)
from dragoman.models.sentences import Reading, TextSide, dual, mclip

LAYOUT = "text encoders of transformers (config.json and a tokenizer)"
WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
"""Names of H in configurations."""
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
)
UNUSED = ("pooler", "lm_head")
"""Parts that are not called, and that many published files leave out."""


def reads(folder: Path) -> bool:
    """Tell whether a folder holds a configuration with a width, a tokenizer, and nothing that says more."""
    if not (folder / "config.json").is_file() or (folder / "modules.json").is_file():
        return False
    if not any((folder / name).is_file() for name in VOCABULARIES):
        return False
    config = read_json(folder / "config.json")
    other = config.get("model_type") in (mclip.MODEL_TYPE, PAIR) or "vision_config" in config
    return not other and _width(config) > 0 and not dual.holds_both_sides(folder)


def width(folder: Path) -> int:
    """J, which is H."""
    return _width(read_json(folder / "config.json"))


def fingerprint(folder: Path) -> str:
    """Hash weights, configuration and tokenizer."""
    return files_hash([folder])


def load(folder: Path, device: str) -> TextSide:
    """Load the encoder. Raises UserError where weights are missing, or pickled."""
    with loading(folder, "text encoder"):
        return _load(folder, device)


def _load(folder: Path, device: str) -> TextSide:
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
    )

    from dragoman.models.sentences.towers import TextTower, frozen, longest_text

    require_safetensors(folder)
    config = config_in(folder)
    kind = str(config.model_type)
    # Of T5 and its like the encoder alone: a decoder would want a text of its own.
    encodes = kind in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES
    model = transformers.AutoModelForTextEncoding if encodes else transformers.AutoModel
    trunk, missing = pretrained(model, folder)
    require_trained(folder, [name for name in missing if not any(part in name for part in UNUSED)])
    tokenizer = tokenizer_in(folder)
    # On the left, padding would move the positions of the text.
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise UserError(f"The tokenizer of {folder} has no token to pad with. Give it a pad_token.")
    decodes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    said = tokenizer.model_max_length
    return TextTower(
        width=width(folder),
        reading=Reading(pool="last" if decodes else "mean", longest=longest_text(config, said)),
        tokenizer=tokenizer,
        trunk=frozen(trunk, device),
        head=[],
        device=device,
    )


def _width(config: Mapping[str, Any]) -> int:
    found = (config.get(name) for name in WIDTHS)
    return next((one for one in found if isinstance(one, int)), 0)
