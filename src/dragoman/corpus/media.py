"""Media files below a folder, found by their published name whatever the subfolder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dragoman.corpus.published import Defects
from dragoman.corpus.readers.folder import SUFFIXES, VIDEO_SUFFIXES
from dragoman.errors import UserError

# COCO numbered its pictures anew in 2017, without the name of the part in front.
_COCO = re.compile(r"COCO_(train|val|test)201[45]_")


class Media:
    """Files below `folder`; without a folder nothing is found. What is not sure goes to `defects`."""

    def __init__(self, folder: Path | None, defects: Defects) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._items: dict[str, str] = {}
        self._defects = defects
        if folder is None:
            return
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder of the media files with --media-root.")
        for path in _files(folder.absolute()):
            name = PurePosixPath(path)
            # Captions and vectors often lie beside a picture, under its name.
            same = (
                (name.name, name.stem) if name.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES else (name.name,)
            )
            for key in same:
                self._by_name.setdefault(key, []).append(path)

    def find(self, published: str, item_id: str) -> str | None:
        """The file of that name or address, or else one that is named like the item, with any suffix.

        Of several such files the one whose folders are the published ones is taken, else the first by name.
        """
        address = unquote(urlsplit(published).path) if "://" in published else published
        name = PurePosixPath(address).name
        names = (name, PurePosixPath(name).stem, item_id, _COCO.sub("", item_id))
        same = next((self._by_name[name] for name in names if name in self._by_name), None)
        if same is None:
            return None
        wanted = PurePosixPath(address).parent.parts
        alike = [_alike(wanted, PurePosixPath(path).parent.parts) for path in same]
        if alike.count(max(alike)) > 1:
            self._defects.note("several media files of that name, the first taken", item_id)
        found = same[alike.index(max(alike))]
        if self._items.setdefault(found, item_id) != item_id:
            self._defects.note("media file of another item taken as well", item_id)
        return found


def _files(folder: Path) -> Iterator[str]:
    """Paths, folder by folder in the order of their names; linked folders too, but each folder once."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.join(parent, name)  # noqa: PTH118 -- a Path for each of 100,000 files is slow


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders are the same, from the innermost on."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
