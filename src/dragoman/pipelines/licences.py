"""Licences of what others made and a collection stands on, as far as they are known without a network."""

from __future__ import annotations

import re
from pathlib import Path

KNOWN = {
    "google/siglip2": "Apache-2.0",
    "openai/clip": "MIT",
    "apertium": "GPL-2.0 or later (a program beside, and its language data)",
    "dictionary": "that of the dictionary; FreeDict's: mostly GPL-2.0 or later",
}
"""By the beginning of a name."""
UNKNOWN = "licence not stated here; read its page before use"
_LICENCE = re.compile(r"^license:\s*(\S+)", re.MULTILINE)


def licence_of(folder: Path | None, name: str) -> str:
    """Tell the licence of a model or engine: that of its model card, or that which is known of its name."""
    card = None if folder is None else folder / "README.md"
    if card is not None and card.is_file():
        # The head of the card alone: further down it may tell of the licences of others.
        head = card.read_text(encoding="utf-8", errors="replace")[:4000]
        if head.startswith("---") and (found := _LICENCE.search(head.partition("\n---")[0])):
            return found[1]
    return next((known for start, known in KNOWN.items() if name.startswith(start)), UNKNOWN)
