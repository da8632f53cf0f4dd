"""A tiny folder as sentence-transformers writes them."""

from __future__ import annotations

from test_text_towers import save_sentence_transformers as save

__all__ = ["save"]
