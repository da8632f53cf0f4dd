"""A tiny XLM-R as transformers saves it."""

from __future__ import annotations

from pathlib import Path

from test_text_towers import save_tokenizer, trunk


def save(folder: Path) -> Path:
    trunk().save_pretrained(folder)
    save_tokenizer(folder)
    return folder
