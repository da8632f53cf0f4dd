"""Model folders and hub ids: where they are, what they hold, and how long an answer may be."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.folders import sha256


def load_tokenizer(model: str, extra: str) -> Any:
    """The tokenizer of a folder or hub id. Raises UserError where there is none."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", extra, "Translating with a model") from None
    try:
        with warnings.catch_warnings():
            # Marian's tokenizer recommends a package for a normalisation that it does not use here.
            warnings.filterwarnings("ignore", message=".*sacremoses")
            return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{model} gives no tokenizer: {first_line(error)}. {_FIX}") from None


def vocabulary(tokenizer: Any) -> set[str]:
    """All tokens, and the language codes that M2M-100 keeps apart from its vocabulary."""
    return {*tokenizer.get_vocab(), *getattr(tokenizer, "lang_token_to_id", {})}


def content_hash(folder: Path) -> str:
    """A hash over the names and contents of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)} {sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def longest_answer(tokens: int) -> int:
    """Tokens that the translation of `tokens` tokens may have: generous, but an end for a model in a loop.

    It rises in steps, so that lines of about one length share one bound and a batch.
    """
    return 32 * math.ceil((2 * tokens + 16) / 32)


def first_line(error: BaseException) -> str:
    """The first sentence of a library's message."""
    return reason(error).rstrip(".")


_FIX = "Give a folder or hub id of a translation model, such as transformers:facebook/m2m100_418M."
