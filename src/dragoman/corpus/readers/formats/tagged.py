"""Caption files of the form `<image or video>#<tag>#<k> <caption>`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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
    """The captions of a file, blank lines left out."""
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
