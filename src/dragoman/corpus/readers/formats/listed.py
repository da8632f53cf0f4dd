"""Captions one a line, beside lists of images.

A line is `<image or video>#<tag>#<k> <caption>` and names its image, or it stands in a file of its own where
line i belongs to line i of the list.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Row, Wanted, faulty, item, stem
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.textfiles import TextLine, text_lines

_KEY = re.compile(
    r"(?P<visual>\S+?)#(?:(?P<tag>[^#\s]+)#)?(?P<slot>[0-9]{1,9})(?:\s+(?P<text>.*))?", re.DOTALL
)


class Tagged(NamedTuple):
    """One caption; where `line.fault` is set, the rest means nothing."""

    line: TextLine
    visual: str
    tag: str
    slot: int
    text: str


def tagged_lines(file: Path) -> Iterator[Tagged]:
    """Yield the captions of a file, blank lines left out."""
    for line in text_lines(file):
        if not line.text and line.fault is None:
            continue
        match = _KEY.fullmatch(line.text) if line.fault is None else None
        if match is None:
            reason = line.fault or (
                f"{line.text[:60]!r} does not begin with an id of the form image#tag#number. "
                "Fetch the file anew."
            )
            yield Tagged(line._replace(fault=reason), "", "", 0, "")
        else:
            slot = int(match["slot"])
            yield Tagged(line, match["visual"], match["tag"] or "", slot, (match["text"] or "").strip())


def listed_items(lists: Mapping[Split, Path]) -> Iterator[Row]:
    """Yield one item a line of the lists of images, whose names stand there without suffix."""
    for split, file in lists.items():
        for line in text_lines(file):
            if line.fault:
                yield faulty(file, line, line.fault)
            elif line.text:
                yield item(file, line.number, line.text, split, f"{line.text}.jpg")


def listed_captions(
    wanted: Wanted, file: Path, lang: str, listed: Collection[str], passed_over: Collection[str] = ()
) -> Iterator[Row]:
    """Yield the human captions of listed images; those of others are left out and counted.

    Those of `passed_over` are left out without a word: other captions of these images are wanted.
    """
    for found in tagged_lines(file):
        # Some files name images with their suffix, others without.
        item_id = stem(found.visual)
        if found.line.fault:
            yield faulty(file, found.line, found.line.fault)
        elif item_id not in listed:
            wanted.defects.note(f"caption of an image in no split left out, {lang}", item_id)
        elif item_id not in passed_over:
            yield from wanted.caption(file, found.line, item_id, lang, found.slot, found.text)


class AlignedFiles(NamedTuple):
    """The images of one split and the files that caption them, by language, one file a slot."""

    split: Split
    images: Path
    captions: dict[str, list[Path]]


def items(part: AlignedFiles) -> Iterator[Row]:
    """Yield one item a line of the image list."""
    for number, name in _images(part.images):
        yield item(part.images, number, stem(name), part.split, name)


def captions(wanted: Wanted, part: AlignedFiles) -> Iterator[Row]:
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
