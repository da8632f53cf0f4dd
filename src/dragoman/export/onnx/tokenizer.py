"""The tokenizer of a Hugging Face trunk as one file that the `tokenizers` package reads alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragoman.errors import UserError
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.retrievers.onnx_text import TOKENIZER


def save_tokenizer(trunk: HuggingFaceText, folder: Path) -> dict[str, int]:
    """Write `tokenizer.json`, which cuts as the trunk does and pads nothing; the ids to pad and to end with.

    Raises UserError for a tokenizer that exists in Python only.
    """
    from tokenizers import Tokenizer

    fast: Any = getattr(trunk.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UserError(
            f"The tokenizer of {trunk.config.path} ({type(trunk.tokenizer).__name__}) has no fast form, "
            "which an export without transformers needs. Train on an encoder that has one (a "
            "tokenizer.json in its folder), or serve the run with PyTorch."
        )
    written = Tokenizer.from_str(fast.to_str())
    written.no_padding()
    written.enable_truncation(trunk.max_length, direction=trunk.tokenizer.truncation_side)
    written.save(str(folder / TOKENIZER))
    return {"pad_id": trunk.pad_id, "end_id": trunk.end_id}
