"""The page of the demonstration: the comparison, pictures for queries, links to the full reports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus
from dragoman.pages import engine
from dragoman.pages.contact_sheet import Example, media_file

Cell = tuple[str, str, str, Mapping[str, Any], tuple[float, float]]
"""Language, row and recipe, its results, and the interval of its SumR."""


def write_page(
    path: Path, cells: Iterable[Cell], gains: Iterable[str], corpus: Corpus, examples: Sequence[Example]
) -> Path:
    """Write the page beside the folders it links to; give its path."""
    cells = list(cells)
    engine.write_page(
        path,
        "demo.html",
        title="Dragoman demo",
        cells=cells,
        recipes=list(dict.fromkeys(recipe for _, _, recipe, _, _ in cells)),
        gains=list(gains),
        examples=[
            (one, [_picture(path.parent, corpus, one, item) for item in one.found]) for one in examples
        ],
    )
    return path


def _picture(folder: Path, corpus: Corpus, example: Example, item_id: str) -> dict[str, Any]:
    file = media_file(corpus, item_id)
    return {
        "item_id": item_id,
        "source": os.path.relpath(file, folder),
        "video": file.suffix == ".mp4",
        "right": item_id == example.item_id,
    }
