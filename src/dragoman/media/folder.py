"""A folder of images and videos, with the captions and the metadata that lie beside them.

Corpora and indexes read such a folder by these rules alone, so that a picture is the same item in both:

- The item of `trip/dog.jpg` is called `trip/dog.jpg`. Hidden files and folders are passed over, links to
  folders are not followed.
- Its captions are the lines of `trip/dog.txt` that are not blank, and those of `trip/dog.pt.txt` in
  Portuguese. Of several media of one stem, `dog.jpg.txt` is of one alone.
- Its metadata are `trip/dog.json`, or else `trip/dog.jpg.json`.
- Its rows of `metadata.csv` and `metadata.jsonl` in the folder that was given are further captions, in the
  column `text`, and further metadata.

No media file is opened here. Memory: the paths of all media, the tables of metadata, and what lies beside the
media in a few folders.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.media.metadata_tables import TABLES, MediaTables
from dragoman.metadata import metadata_of_json
from dragoman.records import Kind, Value
from dragoman.textfiles import TextLine, text_lines

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jp2"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".asf"}
    | {".flv", ".ogv", ".3gp", ".mxf"}
)
OWN = frozenset({"item_id", "kind", "path"})
"""Names for what an item says of itself, and metadata cannot."""
LONGEST_NOTE = 1_000_000
"""Bytes of a file beside a picture; a larger one was not written by hand."""
LONGEST_ID = 512
"""Bytes of UTF-8."""

MEND = "Correct it, or move it elsewhere."
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LISTED = 32
"""Folders whose listing is kept. In the order of ids, the items of a folder are parted by those of its
subfolders, hence more than one."""


class NoteError(ValueError):
    """A file beside a picture or video that cannot be read; the message names it and the reason."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"{file.name} {what}")
        self.what = what
        """The reason alone, from its verb on."""


class Unusable(NamedTuple):
    """A file that would be an item but for its name."""

    path: str
    """Below the folder; bytes that are not UTF-8 as escapes."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class CaptionFile(NamedTuple):
    """A file of captions of one item, or those that a table has of it."""

    file: Path
    lang: str | None
    """Tag in its name, or None."""
    listed: tuple[TextLine, ...] | None = None
    """Those of a table, which is read already."""

    def lines(self) -> Iterator[TextLine]:
        """Captions, one a line, without the lines that are blank. Raises NoteError."""
        if self.listed is not None:
            yield from self.listed
            return
        _require_note(self.file)
        try:
            for line in text_lines(self.file):
                if line.text or line.fault:
                    yield line
        except UserError as error:
            raise NoteError(self.file, f"cannot be read ({error})") from None


class _Beside(NamedTuple):
    """Files beside the media of one folder, by the name of the file or by its stem."""

    texts: Mapping[str, list[CaptionFile]]
    notes: Mapping[str, Path]
    strays: list[str]
    """Text files that belong to nothing."""


class MediaFolder:
    """All images and videos below a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError for what is no folder, holds no media, or has a table that cannot be read."""
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder that holds the images.")
        self.folder = folder
        self.unusable: list[Unusable] = []
        found = [name for name in _files(folder) if kind_of(name) and self._is_usable(name)]
        if not found:
            if self.unusable:
                raise UserError(f"{folder} holds nothing that can be taken. {self.unusable[0]}")
            raise UserError(
                f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}) and no videos "
                f"({', '.join(sorted(VIDEO_SUFFIXES))}). Check the folder: is its disk there?"
            )
        self.ids: Sequence[str] = sorted(found)
        """Sorted by code points."""
        self._tables = MediaTables(folder)
        for line in (*self._tables.oddities, *self._tables.unmatched(self.ids)):
            log.warning("%s", line)
        self._beside = lru_cache(_LISTED)(self._list)

    def kind(self, item_id: str) -> Kind:
        """image or video."""
        kind = kind_of(item_id)
        assert kind is not None, "ids end like media files"
        return kind

    def texts(self, item_id: str) -> list[CaptionFile]:
        """The captions of an item: its files, in the order of their names, then those of the tables."""
        path = PurePosixPath(item_id)
        found = self._beside(path.parent).texts
        # A set, as the name of one picture may be the stem of another: `dog.jpg` and `dog.jpg.png`.
        beside = sorted({*found.get(path.name, ()), *found.get(path.stem, ())})
        listed = self._tables.captions.get(item_id, ())
        return beside + [CaptionFile(file, lang, (line,)) for file, lang, line in listed]

    def metadata(self, item_id: str) -> dict[str, Value]:
        """Metadata of an item; what lies beside it counts more than the tables. Raises NoteError."""
        path = PurePosixPath(item_id)
        notes = self._beside(path.parent).notes
        file = notes.get(path.stem) or notes.get(path.name)
        found = {**self._tables.metadata.get(item_id, {}), **({} if file is None else _read_note(file))}
        return {name: value for name, value in found.items() if name not in OWN}

    def strays(self) -> Iterator[str]:
        """Paths of text files that have a place among the media, but belong to none of them."""
        # Sorted like the ids, so that faults are told in an order that does not change.
        for parent in sorted({PurePosixPath(path).parent for path in _files(self.folder)}):
            yield from ((parent / name).as_posix() for name in sorted(self._beside(parent).strays))

    def fingerprint(self) -> str:
        """Hash of the names of the media, and of names and contents of what lies beside them."""
        # Whoever kept a hash by former rules must not take it for one by these.
        digest = hashlib.sha256(b"ids with suffix\0")
        if self._tables.captions:
            digest.update(b"captions in tables\0")
        for path in sorted(_files(self.folder)):
            if kind_of(path) is None and not _is_note(path):
                continue
            digest.update(os.fsencode(path) + b"\0")
            if kind_of(path) is None:
                digest.update(_content(self.folder / path))
        return digest.hexdigest()

    def _is_usable(self, path: str) -> bool:
        reason = None
        if not _is_utf8(path):
            reason = "its name is not UTF-8: rename it"
        elif _CONTROL.search(path):
            reason = "its name holds a control character: rename it"
        elif (size := len(path.encode())) > LONGEST_ID:
            reason = f"its path has {size} bytes, and ids have at most {LONGEST_ID}: shorten it"
        if reason is not None:
            shown = path.encode("utf-8", "backslashreplace").decode()
            self.unusable.append(Unusable(shown, reason))
        return reason is None

    def _list(self, parent: PurePosixPath) -> _Beside:
        names = sorted(entry.name for entry in os.scandir(self.folder / parent))
        names = [name for name in names if not name.startswith(".")]
        media = [name for name in names if kind_of(name)]
        owners = {*media, *(PurePosixPath(name).stem for name in media)}
        found = _Beside({}, {}, [])
        for name in names:
            stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
            file = self.folder / parent / name
            if suffix == ".json" and stem in owners:
                found.notes.setdefault(stem, file)  # type: ignore[attr-defined]
            elif suffix == ".txt":
                owner, lang = _owner(stem, owners)
                if owner is None:
                    found.strays.append(name)
                else:
                    found.texts.setdefault(owner, []).append(CaptionFile(file, lang))  # type: ignore[attr-defined]
        return found


def kind_of(name: str) -> Kind | None:
    """image or video, by the suffix of a file; None for all others."""
    suffix = PurePosixPath(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _files(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield (Path(parent) / name).relative_to(folder).as_posix()


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}. Allow it, or move it away.")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_note(path: str) -> bool:
    return path in TABLES or PurePosixPath(path).suffix.lower() in (".txt", ".json")


def _owner(stem: str, owners: set[str]) -> tuple[str | None, str | None]:
    """Whose captions a text file holds, by its stem, and in which language."""
    # `dog.old.txt` is of the picture `dog.old.jpg` where there is one, though "old" might be a language.
    if stem in owners:
        return stem, None
    owner, _, tag = stem.rpartition(".")
    if owner not in owners:
        return None, None
    try:
        return owner, canonical_tag(tag)
    except ValueError:
        return None, None


def _require_note(file: Path) -> None:
    # To read from a pipe would wait for ever.
    if not file.is_file():
        raise NoteError(file, "is no file that can be read. Remove it, or move it elsewhere.")
    if file.stat().st_size > LONGEST_NOTE:
        raise NoteError(file, f"is larger than {LONGEST_NOTE:,} bytes. Move it elsewhere.")


def _read_note(file: Path) -> dict[str, Value]:
    _require_note(file)
    try:
        value = json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NoteError(file, f"is no JSON ({error}). {MEND}") from None
    if not isinstance(value, dict):
        raise NoteError(
            file, f"holds a {type(value).__name__}, not an object. Correct it, or move it elsewhere."
        )
    return metadata_of_json(value)


def _content(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes() if file.is_file() else b"no file").digest()
    except OSError:
        return b"unreadable"
