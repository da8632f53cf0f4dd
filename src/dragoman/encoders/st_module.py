"""Name of the text module in `modules.json` of folders that were exported before it had its place."""

from __future__ import annotations

from dragoman.export.sentence_transformers import DragomanText as DragomanText
