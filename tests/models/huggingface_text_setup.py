"""A Hugging Face encoder is made of a folder."""

from __future__ import annotations

from pathlib import Path

from tiny_encoders import save_encoder

from dragoman.models.text.huggingface import HuggingFaceTextConfig


def config(folder: Path) -> object:
    return HuggingFaceTextConfig(path=str(save_encoder(folder, "xlm-roberta")), max_length=12)
