"""Caption files of the form `<image or video>#<tag>#<k> <caption>`, and lists of the images of each split."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Row, Wanted, faulty, item, stem
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
        item_id = stem(found.visual)
        if found.line.fault:
            yield faulty(file, found.line, found.line.fault)
        elif item_id not in listed:
            wanted.defects.note(f"caption of an image in no split left out, {lang}", item_id)
        elif item_id not in passed_over:
            yield from wanted.caption(file, found.line, item_id, lang, found.slot, found.text)
