"""The text half of a dual encoder that transformers loads: CLIP, SigLIP 2, AltCLIP, …

Its width is that of the joint space, its fingerprint that of the whole folder: one file holds both halves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.models.hub import (
    config_in,
    loading,
    longest_input,
    pretrained,
    require_trained,
    tokenizer_in,
)
from dragoman.models.hub import (
    pieces as pieces_of,
)
from dragoman.models.hub import (
    reads as reads_tokens,
)
from dragoman.models.sentences import Reading, TextSide

LAYOUT = "dual encoders that transformers loads (CLIP, SigLIP 2, AltCLIP, …)"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "spiece.model")
"""Files that decide how a text is read, beside those that every fingerprint holds."""
SIGLIP_TOKENS = 64
"""SigLIP and SigLIP 2 were trained on texts padded to this length, without a mask (arXiv 2303.15343)."""


def reads(folder: Path) -> bool:
    """Tell whether a folder holds both sides; modules of sentence-transformers say more, and count more."""
    return not (folder / "modules.json").is_file() and holds_both_sides(folder)


def width(folder: Path) -> int:
    """J."""
    return joint_width(config_in(folder))


def fingerprint(folder: Path) -> str:
    """Hash weights, configuration, preprocessing of images, and tokenizer."""
    from dragoman.models.vision import tower_fingerprint

    whole = hashlib.sha256(tower_fingerprint(folder).encode())
    for file in (folder / name for name in TOKENIZER):
        whole.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
    return whole.hexdigest()


def load(folder: Path, device: str) -> TextSide:
    """Load the text half. Raises UserError where weights are missing."""
    import transformers

    with loading(folder, "text encoder"):
        tokenizer = tokenizer_in(folder)
        model, missing = pretrained(transformers.AutoModel, folder)
    require_trained(folder, missing)
    # The image half is loaded apart, where it is needed.
    if hasattr(model, "vision_model"):
        del model.vision_model
    return DualText(tokenizer, model.to(device).eval().requires_grad_(False), device)


class DualText(TextSide):
    """The text half, loaded."""

    def __init__(self, tokenizer: Any, model: Any, device: str) -> None:
        self.width = joint_width(model.config)
        self._tokenizer, self._model, self._device = tokenizer, model, device
        self._padded = model.config.model_type.startswith("siglip")
        text = getattr(model.config, "text_config", model.config)
        longest = min(longest_input(text, otherwise=77), int(tokenizer.model_max_length))
        # SigLIP 2 was trained on small letters alone, and its published tokenizer keeps capitals
        # (arXiv 2502.14786, section 2.1); that of SigLIP makes them small by itself.
        self.reading = Reading(
            lowercase=self._padded, longest=min(SIGLIP_TOKENS, longest) if self._padded else longest
        )

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return reads_tokens(self._tokenizer, self.reading.bare(texts))

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        return pieces_of(self._tokenizer, self.reading.bare(texts))

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        import torch

        inputs = self._tokenizer(
            given,
            padding="max_length" if self._padded else True,
            truncation=True,
            max_length=self.reading.longest,
            return_tensors="pt",
        )
        # SigLIP saw padding as tokens like others in its training: with a mask its vectors would be others.
        names = ("input_ids",) if self._padded else ("input_ids", "attention_mask")
        with torch.inference_mode():
            output = self._model.get_text_features(**{name: inputs[name].to(self._device) for name in names})
        # A tensor in transformers 4, an output with the projected vector in 5.
        vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found


def holds_both_sides(folder: Path) -> bool:
    """Tell whether a folder holds a model with a text and an image side in one space."""
    if not (folder / "config.json").is_file():
        return False
    try:
        with loading(folder, "dual encoder"):
            return _both_sides(type(config_in(folder)))
    except UserError:
        # Of a kind that transformers does not know; whoever needs the model is told so when it is loaded.
        return False


def kind_has_both_sides(model_type: str) -> bool | None:
    """Tell by the `model_type` of a configuration whether such models have both sides; None of a kind that
    transformers does not know."""
    from transformers import CONFIG_MAPPING

    try:
        return _both_sides(CONFIG_MAPPING[model_type])
    except KeyError:
        return None


def _both_sides(config_class: type) -> bool:
    """Tell whether the model of a configuration has both sides. Raises KeyError where it has none."""
    from transformers import AutoModel

    model_class = AutoModel._model_mapping[config_class]
    return all(hasattr(model_class, name) for name in ("get_text_features", "get_image_features"))


def joint_width(config: Any) -> int:
    """J; SigLIP's image side ends in it without a projection."""
    projected = getattr(config, "projection_dim", None)
    return int(projected if projected is not None else getattr(config, "vision_config", config).hidden_size)
