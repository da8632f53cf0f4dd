"""A folder of images and videos as a collection, with what lies beside them.

`trip/dog.jpg` is the item `trip/dog.jpg`. Its captions are the first lines of `trip/dog.txt` and, in
Portuguese, of `trip/dog.pt.txt`; its metadata is `trip/dog.json` (or `trip/dog.jpg.json`) and its record of
`metadata.csv` or `metadata.jsonl` in the folder that was given, by `path`.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dragoman.corpus.readers.files import SUFFIXES, VIDEO_SUFFIXES
from dragoman.errors import UserError
from dragoman.index.collection import Collection, Notes, NotesError, Rejected, column_values, flat, present
from dragoman.languages import canonical_tag
from dragoman.records import Value

TABLES = ("metadata.csv", "metadata.jsonl")
KEYS = ("path", "file_name", "file", "item_id")
"""Columns of a table that may hold the path, the first that is there counts."""
LONGEST_NOTE = 1_000_000
"""Bytes of a file beside an image; a larger one is no note."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class MediaFolder(Collection):
    """All images and videos below a folder; hidden files and folders are passed over, links to folders not
    followed."""

    def __init__(self, folder: Path, lang: str) -> None:
        """`lang` is the language of captions whose file names none. Raises UserError for what is no folder,
        holds neither images nor videos, or has a table that cannot be read."""
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give a folder of images, or a corpus.")
        self.root = folder.resolve()
        self._lang = lang
        found, self.faults = _media(self.root)
        if not found:
            raise UserError(
                f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}) and no videos "
                f"({', '.join(sorted(VIDEO_SUFFIXES))}). Check the folder: is its disk there?"
            )
        names = [name for name in found if _suffix(name) in SUFFIXES]
        self.ids = sorted(names)
        self.videos = sorted(set(found).difference(names))
        # An image `dog.old.jpg` owns `dog.old.txt`, though "old" might be a language.
        self._dotted = {stem for name in found if "." in PurePosixPath(stem := _beside(name, "")).name}
        self._table = _read_tables(self.root)

    def path(self, item_id: str) -> str:
        return item_id

    def notes(self, item_id: str) -> Notes:
        table = self._table.get(item_id, {})
        return Notes({**table, **self._sidecar(item_id)}, dict(self._captions(item_id)))

    def _sidecar(self, item_id: str) -> dict[str, Value]:
        for file in (self.root / _beside(item_id, ".json"), self.root / f"{item_id}.json"):
            if (text := _read(file)) is None:
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                raise NotesError(f"{file.name} is no JSON ({error})") from None
            if not isinstance(value, dict):
                raise NotesError(f"{file.name} holds a {type(value).__name__}, not an object")
            return flat(value)
        return {}

    def _captions(self, item_id: str) -> Iterator[tuple[str, str]]:
        """Language and text of each file of captions; of several lines the first that is not blank."""
        stem = PurePosixPath(_beside(item_id, "")).name
        folder = (self.root / item_id).parent
        for file in self._texts(folder):
            owner = (PurePosixPath(item_id).parent / file[: -len(".txt")]).as_posix()
            if owner in self._dotted and PurePosixPath(owner).name != stem:
                continue
            lang = _language(file, stem, self._lang)
            text = _read(folder / file) if lang else None
            line = next((line.strip() for line in (text or "").split("\n") if line.strip()), "")
            if lang and line:
                yield lang, line

    def _texts(self, folder: Path) -> Sequence[str]:
        """Text files of a folder. Items come sorted, so that the last folder is mostly asked for again."""
        if getattr(self, "_listed", (None, ()))[0] != folder:
            with os.scandir(folder) as found:
                self._listed = (
                    folder,
                    sorted(one.name for one in found if one.name.lower().endswith(".txt")),
                )
        return self._listed[1]


def _media(root: Path) -> tuple[list[str], list[Rejected]]:
    names: list[str] = []
    faults: list[Rejected] = []
    for parent, folders, files in os.walk(root, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith(".") or _suffix(name) not in SUFFIXES | VIDEO_SUFFIXES:
                continue
            file = Path(parent, name)
            path = file.relative_to(root).as_posix()
            if reason := _unusable(file, path, root):
                shown = path.encode("utf-8", "backslashreplace").decode()
                faults.append(Rejected(shown, shown, reason))
            else:
                names.append(path)
    return names, faults


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unusable(file: Path, path: str, root: Path) -> str | None:
    if _CONTROL.search(path):
        return "its name holds a control character: rename it"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    if size > 512:
        return f"its path has {size} bytes, and ids have at most 512: shorten it"
    if file.is_symlink() and not file.resolve().is_relative_to(root):
        return "a link that leads out of the folder: index the folder that holds the file"
    return None


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}. Allow it, or move it away.")


def _beside(item_id: str, suffix: str) -> str:
    stem, dot, _ = item_id.rpartition(".")
    return (stem if dot else item_id) + suffix


def _language(file: str, stem: str, default: str) -> str | None:
    """The language of the captions in `file` for the image `stem`, or None where they are another's."""
    name = file[: -len(".txt")]
    if name == stem:
        return default
    if not name.startswith(f"{stem}."):
        return None
    try:
        return canonical_tag(name[len(stem) + 1 :])
    except ValueError:
        return None


def _read(file: Path) -> str | None:
    """The text of a file beside an image; None where there is none. Raises NotesError."""
    try:
        if file.stat().st_size > LONGEST_NOTE:
            raise NotesError(f"{file.name} is larger than {LONGEST_NOTE:,} bytes")
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NotesError(f"{file.name} cannot be read as UTF-8 ({error})") from None


def _read_tables(root: Path) -> dict[str, Mapping[str, Value]]:
    """Metadata by path, of the tables in the folder itself."""
    found: dict[str, Mapping[str, Value]] = {}
    for name, read in zip(TABLES, (_read_csv, _read_jsonl), strict=True):
        file = root / name
        if file.is_file():
            try:
                found |= read(file)
            except (ValueError, csv.Error) as error:
                raise UserError(f"{file} cannot be read: {error}. Correct it, or move it away.") from None
    return found


def _read_csv(file: Path) -> dict[str, Mapping[str, Value]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        rows = list(reader)
    key = _key(reader.fieldnames or ())
    names = [name for name in reader.fieldnames or () if name != key and name]
    columns = {name: column_values([row[name] for row in rows]) for name in names}
    return {
        _as_id(row[key]): present((name, columns[name][number]) for name in names)
        for number, row in enumerate(rows)
        if row[key]
    }


def _read_jsonl(file: Path) -> dict[str, Mapping[str, Value]]:
    found: dict[str, Mapping[str, Value]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError(f"line {number} holds no object")
        key = _key(value)
        found[_as_id(str(value[key]))] = flat({name: one for name, one in value.items() if name != key})
    return found


def _key(names: Sequence[str] | Mapping[str, object]) -> str:
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise ValueError(f"no column is named {', '.join(KEYS[:-1])} or {KEYS[-1]}")
    return key


def _as_id(path: str) -> str:
    """`./trip/dog.jpg` and Windows' `trip\\dog.jpg` are `trip/dog.jpg`."""
    return PurePosixPath(path.replace("\\", "/")).as_posix()
