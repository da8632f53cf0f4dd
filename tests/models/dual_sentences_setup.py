"""A tiny CLIP with both of its sides."""

from __future__ import annotations

from pathlib import Path

from test_public import save_dual


def save(folder: Path) -> Path:
    return save_dual(folder, "clip")
