"""Files of a published data set, found by their published names: its own, and the media that it speaks of."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.media.folder import kind_of

# COCO numbered its pictures anew in 2017, without the name of the part in front.
_COCO = re.compile(r"COCO_(train|val|test)201[45]_")


class Files:
    """The published files below a root: plain or gzip, in the published folders or without the outer ones."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self._used: dict[Path, None] = {}
        self._skipped = _folders_to_skip(root, names)

    def find(self, name: str) -> Path | None:
        """Find the file of that published path, if it is there."""
        path = _present(self.root, name, self._skipped)
        return None if path is None else self.use(path)

    def __getitem__(self, name: str) -> Path:
        path = self.find(name)
        assert path is not None, name
        return path

    def use(self, path: Path) -> Path:
        """Note a file as input of the corpus."""
        self._used[path] = None
        return path

    def hashes(self) -> dict[str, str]:
        """Return path and content hash of each file that was used."""
        return {str(path): sha256(path) for path in self._used}


def _folders_to_skip(root: Path, names: Sequence[str]) -> int:
    """Count the outer folders of the published paths that the root leaves out, so that most files are there.

    At most so many that the paths stay different from one another.
    """
    best, most = 0, -1
    for skipped in range(min((name.count("/") for name in names), default=0) + 1):
        shortened = {name.split("/", skipped)[-1] for name in names}
        if len(shortened) < len(set(names)):
            break
        there = sum(_present(root, name, skipped) is not None for name in set(names))
        if there > most:
            best, most = skipped, there
    return best


def _present(root: Path, name: str, skipped: int) -> Path | None:
    short = "/".join(name.split("/")[min(skipped, name.count("/")) :])
    return next((path for path in (root / short, root / f"{short}.gz") if path.is_file()), None)


class Media:
    """Media files below `folder`; without a folder nothing is found. What is not sure goes to `note`."""

    def __init__(self, folder: Path | None, note: Callable[[str, str], None]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._items: dict[str, str] = {}
        self._note = note
        if folder is None:
            return
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder of the media files with --media-root.")
        for path in _files(folder.absolute()):
            name = PurePosixPath(path)
            # Captions and vectors often lie beside a picture, under its name.
            same = (name.name, name.stem) if kind_of(path) else (name.name,)
            for key in same:
                self._by_name.setdefault(key, []).append(path)

    def find(self, published: str, item_id: str) -> str | None:
        """Find the file of that name or address, or else one that is named like the item, with any suffix.

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
            self._note("several media files of that name, the first taken", item_id)
        found = same[alike.index(max(alike))]
        if self._items.setdefault(found, item_id) != item_id:
            self._note("media file of another item taken as well", item_id)
        return found


def _files(folder: Path) -> Iterator[str]:
    """Yield paths, folder by folder in the order of names; linked folders too, but each folder once."""
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
    """Count the folders that are the same, from the innermost on."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
