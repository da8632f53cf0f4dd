"""The small encoder is made of the training captions alone."""

from __future__ import annotations

from pathlib import Path

from tiny_duals import small_config


def config(folder: Path) -> object:
    return small_config(layers=1)
