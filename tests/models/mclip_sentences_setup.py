"""A tiny folder as M-CLIP publishes them."""

from __future__ import annotations

from test_text_towers import save_mclip as save

__all__ = ["save"]
