"""Dual encoders of width 16 over a handful of words."""

from __future__ import annotations

from typing import Any

import torch

from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig

TEXTS = [
    "a dog runs on the beach",
    "Um cão corre na praia",
    "um cao corre",
    "the old dog's ball !",
    "一只狗在海滩上奔跑",
    "كلب يجري على الشاطئ",
]
FEATURES = 12
DETAILS = {
    "recipe": "translate_train",
    "source": "en",
    "targets": ["pt"],
    "target_captions": "machine-translated",
    "features": "toy",
    "vision": None,
    "seed": 1,
}


def small_config(**settings: Any) -> SmallTextConfig:
    return SmallTextConfig(**{"width": 16, "heads": 2, "feed_forward": 32, "min_count": 1} | settings)


def small_text(**settings: Any) -> SmallText:
    torch.manual_seed(0)
    return SmallText.fit(TEXTS, small_config(**settings)).eval()


def dual(text: dict[str, Any] | None = None, **settings: Any) -> DualEncoder:
    """In eval mode."""
    trunk = small_text(**text or {})
    shape = {"joint": 16, "hidden": 16, "heads": 2, "key_width": 8}
    return DualEncoder(DualConfig(**shape | settings), trunk, FEATURES).eval()
