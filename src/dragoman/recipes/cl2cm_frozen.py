"""`cl2cm` with a frozen sentence encoder in the place of its network: nothing of that learns, and it knows
words that no translation holds"""

from __future__ import annotations

from dataclasses import replace

from dragoman.recipes import cl2cm
from dragoman.training.config import TrainConfig

PAPER = "CL2CM: Wang et al., AAAI 2024, arXiv 2312.08984"


def recipe(base: TrainConfig) -> TrainConfig:
    """Let `use` teach; `--set frozen=NAME` takes other vectors of texts."""
    return replace(cl2cm.recipe(base), frozen="use").with_objective("cl2cm", network="frozen")
