"""Captions in files of their own, one a line, beside a list of images: line i belongs to line i."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Row, Wanted, faulty, item, stem
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.textfiles import TextLine, text_lines


class Part(NamedTuple):
    """The images of one split and the files that caption them, by language, one file a slot."""

    split: Split
    images: Path
    captions: dict[str, list[Path]]


def items(part: Part) -> Iterator[Row]:
    """Yield one item a line of the image list."""
    for number, name in _images(part.images):
        yield item(part.images, number, stem(name), part.split, name)


def captions(wanted: Wanted, part: Part) -> Iterator[Row]:
    """Yield one caption a line. Raises UserError where a file has not as many lines as there are images."""
    ids = [stem(name) for _, name in _images(part.images)]
    for lang, files in part.captions.items():
        for slot, file in enumerate(files):
            for item_id, line in zip(ids, _as_many(file, len(ids), part.images), strict=True):
                if line.fault is None:
                    yield from wanted.caption(file, line, item_id, lang, slot, line.text)
                else:
                    yield faulty(file, line, line.fault)


def _images(file: Path) -> Iterator[tuple[int, str]]:
    for line in _without_end(text_lines(file)):
        if line.fault:
            raise UserError(f"{file}, line {line.number}: {line.fault}")
        # Captions of COCO are named by image and caption: `COCO_val2014_000000398076.jpg#657409`.
        yield line.number, line.text.split("#")[0]


def _as_many(file: Path, count: int, images: Path) -> list[TextLine]:
    lines = list(_without_end(text_lines(file)))
    if len(lines) < count:
        # A last caption may be empty; what is missing altogether is told below.
        lines = list(text_lines(file))[:count]
    if len(lines) != count:
        raise UserError(
            f"{file} has {len(lines)} lines, but {images} names {count} images; line i belongs to image i. "
            "Fetch both files anew."
        )
    return lines


def _without_end(lines: Iterator[TextLine]) -> Iterator[TextLine]:
    """Yield the lines but for blank ones at the end."""
    blank: list[TextLine] = []
    for line in lines:
        if not line.text and line.fault is None:
            blank.append(line)
            continue
        yield from blank
        blank.clear()
        yield line
