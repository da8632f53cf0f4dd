"""Words read by the vectors of a tiny folder of M-CLIP; the name of the set is the folder."""

from __future__ import annotations

from pathlib import Path

import mclip_sentences_setup
from frozen_text_setup import kept

from dragoman.models.text.glosses import GlossedTextConfig

__all__ = ["config", "kept"]


def config(folder: Path) -> object:
    path = mclip_sentences_setup.save(folder / "text")
    return GlossedTextConfig(features=str(path), width=8, glosses=3, gloss_count=1, max_words=12)
