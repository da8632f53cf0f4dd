"""Files below a folder of media, listed once: what is taken, what is a fault, what is left out by a rule.

Every folder is read once, and every name is looked at once, so that the time grows with their number.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.media.metadata_tables import TABLES
from dragoman.records import Kind

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
    | {".heic", ".heif", ".jp2", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".ico"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".asf"}
    | {".flv", ".ogv", ".3gp", ".mxf"}
)
RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Photos as the sensors of cameras gave them."""
STORAGE = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "lost+found", "$recycle.bin"}
    | {"system volume information", "__macosx"}
)
"""Folders that disks and network storage keep for themselves, in lower case: thumbnails, bins, leftovers."""
LONGEST_ID = 512
"""Bytes of UTF-8."""

RAW = "RAW photos, which are not read: export them as JPEG or TIFF"
KEPT_BY_STORAGE = "folders that a disk or network storage keeps for itself"
EXCLUDED = "by --exclude"
LINKED = "links to folders, which are not followed"
HIDDEN = "hidden"
OTHER = "neither images, videos nor what belongs to one"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NAMED = 3
"""Paths that are told of what is left out."""


class Unusable(NamedTuple):
    """A file or folder that would be taken but for a fault."""

    path: str
    """Below the folder; bytes that are not UTF-8 as escapes."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class LeftOut:
    """Count of what one rule leaves out, with the first of it."""

    count: int = 0
    first: list[str] = field(default_factory=list)


@dataclass
class Listing:
    """Files below a folder."""

    folders: dict[str, list[str]] = field(default_factory=dict)
    """Names of the files of each folder that are media, or may belong to some; by the path of the folder
    below the one that was listed, which is called "" itself. Sorted by code points."""
    media: list[str] = field(default_factory=list)
    """Paths of images and videos that can be taken, sorted by code points."""
    links: set[str] = field(default_factory=set)
    """Those of them that are links."""
    unusable: list[Unusable] = field(default_factory=list)
    rules: dict[str, LeftOut] = field(default_factory=dict)

    def leave_out(self, path: str, rule: str) -> None:
        """Count a path that a rule leaves out."""
        left = self.rules.setdefault(rule, LeftOut())
        left.count += 1
        if len(left.first) < _NAMED:
            left.first.append(shown(path))

    def left_out(self) -> list[str]:
        """Tell what is left out, a line a rule."""
        lines = []
        for rule, left in sorted(self.rules.items()):
            more = ["…"] if left.count > len(left.first) else []
            lines.append(f"left out: {left.count:,} {rule} ({', '.join([*left.first, *more])})")
        return lines

    def tables(self) -> list[str]:
        """Give the paths of tables of metadata, those of one folder in the order of `TABLES`."""
        found = (
            (parent, name)
            for parent in sorted(self.folders)
            for name in TABLES
            if name in self.folders[parent]
        )
        return [_joined(parent, name) for parent, name in found]

    def paths(self) -> Iterator[str]:
        """Yield the paths of `folders`, in no order."""
        for parent, names in self.folders.items():
            yield from (_joined(parent, name) for name in names)


def list_media(folder: Path, exclude: Sequence[str] = ()) -> Listing:
    """List all below a folder, but what matches a pattern of `exclude`: a path below it, or a name.

    Patterns are those of a shell (`*.gif`, `trip/raw/*`); a folder that matches is left out with all in it.
    Raises UserError only where the folder itself cannot be read: one below it is a fault like others.
    """
    excluded = [re.compile(translate(pattern.rstrip("/"))) for pattern in exclude]
    found, waiting = Listing(), [""]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(folder / parent) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not parent:
                raise UserError(f"{folder} cannot be read: {error.strerror}. Allow it.") from None
            reason = f"a folder that cannot be read ({error.strerror}): allow it, or leave it out: --exclude"
            found.unusable.append(Unusable(shown(parent), reason))
            continue
        for entry in names:
            path = _joined(parent, entry.name)
            if any(pattern.match(one) for pattern in excluded for one in (path, entry.name)):
                found.leave_out(path, EXCLUDED)
            elif entry.name.startswith("."):
                found.leave_out(path, HIDDEN)
            elif _is_folder(entry):
                if entry.name.lower() in STORAGE:
                    found.leave_out(path, KEPT_BY_STORAGE)
                else:
                    waiting.append(path)
            else:
                _take(found, parent, path, entry)
    found.media.sort()
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _take(found: Listing, parent: str, path: str, entry: os.DirEntry[str]) -> None:
    try:
        is_file, is_folder = entry.is_file(), entry.is_dir()
    except OSError:
        # Links in a circle.
        is_file = is_folder = False
    if is_folder:
        found.leave_out(path, LINKED)
    elif kind_of(path) is not None:
        found.folders.setdefault(parent, []).append(entry.name)
        reason = _fault_of_name(path)
        if reason is None and not is_file:
            # To read from a pipe would wait for ever.
            what = "a link to nothing" if entry.is_symlink() else "no file that can be read"
            reason = f"{what}: mend it, or remove it"
        if reason is not None:
            found.unusable.append(Unusable(shown(path), reason))
            return
        found.media.append(path)
        if entry.is_symlink():
            found.links.add(path)
    elif is_note(path):
        found.folders.setdefault(parent, []).append(entry.name)
    else:
        found.leave_out(path, RAW if PurePosixPath(path).suffix.lower() in RAW_SUFFIXES else OTHER)


def walk_files(folder: Path) -> Iterator[str]:
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


def file_names(folder: Path) -> str:
    """Hash the names of all files that `walk_files` yields."""
    digest = hashlib.sha256()
    for path in walk_files(folder):
        digest.update(os.fsencode(os.path.relpath(path, folder)) + b"\0")
    return digest.hexdigest()


def kind_of(name: str) -> Kind | None:
    """Tell image or video by the suffix of a file; None for all others."""
    suffix = PurePosixPath(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def is_note(path: str) -> bool:
    """Tell if a file may hold captions or metadata of media, by its name."""
    pure = PurePosixPath(path)
    return pure.name in TABLES or pure.suffix.lower() in (".txt", ".json", ".xmp")


def shown(path: str) -> str:
    """Give a path as text that can be printed and stored, whatever its bytes are."""
    return path.encode("utf-8", "backslashreplace").decode()


def _fault_of_name(path: str) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    if _CONTROL.search(path):
        return "its name holds a control character: rename it"
    if size > LONGEST_ID:
        return f"its path has {size} bytes, and ids have at most {LONGEST_ID}: shorten it"
    return None


def _joined(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
