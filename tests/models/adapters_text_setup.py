"""Adapters stand on a Hugging Face encoder, which is made of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_encoders import save_encoder

from dragoman.models.text.adapters import AdaptersTextConfig

MORE: dict[str, Any] = {"by_language": lambda: {"pt": ["Um cão", "cao"]}, "joint": 16}


def config(folder: Path) -> object:
    return AdaptersTextConfig(path=str(save_encoder(folder, "xlm-roberta")), max_length=12, rank=4)
