"""The page of the demonstration, and its contact sheet: pictures found for a few queries."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from dragoman.arrow import pc
from dragoman.corpus import Corpus
from dragoman.folders import atomic_path
from dragoman.media.reading import mosaic
from dragoman.pages import engine

SHOWN = 5
"""Pictures a query."""
PICTURE, GAP, LINE = 150, 10, 34
PAPER, INK, FAINT, RIGHT = (252, 251, 248), (38, 38, 42), (150, 150, 150), (38, 150, 84)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Cell = tuple[str, str, str, Mapping[str, Any], tuple[float, float]]
"""Language, row and recipe, its results, and the interval of its SumR."""


@dataclass(frozen=True, kw_only=True)
class DemoExample:
    """A query and the pictures that were found for it."""

    lang: str
    text: str
    item_id: str
    """The picture that the query was written about."""
    found: list[str]
    """The best pictures, best first."""
    rank: int
    """Rank of the right picture, from 1."""


def write_demo_page(
    path: Path, cells: Iterable[Cell], gains: Iterable[str], corpus: Corpus, examples: Sequence[DemoExample]
) -> Path:
    """Write the page beside the folders it links to; give its path."""
    cells = list(cells)
    best: dict[tuple[str, str], float] = {}
    for lang, row, _, result, _ in cells:
        best[lang, row] = max(best.get((lang, row), 0.0), result["sum_r"])
    engine.write_page(
        path,
        "demo.html",
        title="Dragoman demo",
        cells=cells,
        best=best,
        recipes=list(dict.fromkeys(recipe for _, _, recipe, _, _ in cells)),
        gains=list(gains),
        examples=[(one, [_shown(path.parent, corpus, one, item) for item in one.found]) for one in examples],
    )
    return path


def _shown(folder: Path, corpus: Corpus, example: DemoExample, item_id: str) -> dict[str, Any]:
    # Links, not copies: the page lies beside the world that it shows.
    file = media_file(corpus, item_id)
    return {
        "item_id": item_id,
        "source": os.path.relpath(file, folder),
        "video": file.suffix == ".mp4",
        "right": item_id == example.item_id,
    }


def draw_sheet(path: Path, corpus: Corpus, examples: Sequence[DemoExample]) -> Path:
    """Draw the examples as a PNG and give its path; the right picture has a green frame."""
    width = SHOWN * (PICTURE + GAP) + GAP
    sheet = Image.new("RGB", (2 * width + GAP, -(-len(examples) // 2) * (PICTURE + LINE + GAP) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), _font(17)
    for number, example in enumerate(examples):
        left, top = GAP + number % 2 * (width + GAP), GAP + number // 2 * (PICTURE + LINE + GAP)
        pen.text((left, top + 8), example.lang, fill=FAINT, font=font)
        pen.text((left + 32, top + 8), _drawable(example.text, font), fill=INK, font=font)
        for place, item_id in enumerate(example.found):
            x, y = left + place * (PICTURE + GAP), top + LINE
            if item_id == example.item_id:
                pen.rectangle([x - 5, y - 5, x + PICTURE + 4, y + PICTURE + 4], fill=RIGHT)
            sheet.paste(_picture(media_file(corpus, item_id)), (x, y))
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")
    return path


def _picture(file: Path) -> Image.Image:
    """Open a picture, or four frames of a video."""
    if file.suffix == ".mp4":
        return mosaic(file, PICTURE)
    with Image.open(file) as picture:
        return picture.convert("RGB").resize((PICTURE, PICTURE))


def media_file(corpus: Corpus, item_id: str) -> Path:
    """Give the path of an item's picture or video."""
    row = pc.index(corpus.items["item_id"], item_id).as_py()
    return Path(corpus.media_path(corpus.items["path"][row].as_py()))


def _font(size: int) -> Font:
    # DejaVu Sans, which matplotlib brings along; else Pillow's own, which has no accents.
    spec = find_spec("matplotlib")
    if spec and spec.origin:
        file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)


def _drawable(text: str, font: Font) -> str:
    if isinstance(font, ImageFont.FreeTypeFont) and "DejaVu" in str(font.getname()[0]):
        return text
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
