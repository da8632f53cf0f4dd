"""Captions in the format of COCO: `annotations` name the image and hold the caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from dragoman.corpus.published import Wanted, faulty
from dragoman.corpus.readers._documents import entries
from dragoman.corpus.rows import Row


def numbered_images(file: Path) -> Iterator[tuple[int, str, str]]:
    """Number, file name and place of each image of the document."""
    for place, _, fields in entries(file, "images"):
        number, name = fields.get("id"), fields.get("file_name")
        if type(number) is int and isinstance(name, str):
            yield number, name, place


def captions(wanted: Wanted, file: Path, lang: str, item_of: Mapping[int, str]) -> Iterator[Row]:
    """One caption an annotation; those of images that are no items are left out and counted."""
    slots: Counter[str] = Counter()
    for place, line, fields in entries(file, "annotations"):
        number = fields.get("image_id")
        if line.fault or type(number) is not int:
            yield faulty(place, line, line.fault or f"image_id is {number!r}, but a number was expected.")
        elif number not in item_of:
            wanted.defects.note(f"caption of an image in no split left out, {lang}", str(number))
        else:
            item_id = item_of[number]
            yield from wanted.caption(place, line, item_id, lang, slots[item_id], fields.get("caption"))
            slots[item_id] += 1
