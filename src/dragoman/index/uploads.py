"""Files that came over HTTP: `uploads/` of an index, with a note of every change that is under way.

A change of an item touches its entry and its file, which no transaction holds together. So a note is written
before, and removed after; where a kill left one, the next writer removes what no entry names. Files without a
note stay: an index can be made again, uploads cannot.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

from dragoman.folders import atomic_path, write_json
from dragoman.records import Entry
from dragoman.stores import Store

UPLOADS = "uploads"
"""Folder of the index that keeps the files, one for each item."""
NOTE = ".note"


def upload_path(folder: Path, item_id: str, image: bytes, suffix: str) -> Path:
    """Name the file for one upload.

    The name is made of digests: nothing that a client wrote becomes part of a path.
    """
    # Another name each time, also for the same image: a deletion that finishes late removes the file of its
    # own entry, never that of one which was added since.
    name = f"{_digest(item_id.encode())}-{_digest(image)}-{secrets.token_hex(4)}{suffix}"
    return (folder / UPLOADS / name).absolute()


def keep_upload(file: Path, image: bytes) -> None:
    """Write an image, durably."""
    with atomic_path(file) as temporary:
        temporary.write_bytes(image)


def forget_upload(folder: Path, entry: Entry | None) -> None:
    """Remove the file of an entry if it was uploaded."""
    if entry is None or entry.path is None:
        return
    file = Path(entry.path)
    if file.parent == (folder / UPLOADS).absolute():
        file.unlink(missing_ok=True)


def note_change(folder: Path, item_id: str) -> Path:
    """Write down that an item is about to change, and say where. Hold the index for it."""
    # A file of its own for each change, so that the end of one does not take the note of another.
    note = folder / UPLOADS / f"{_digest(item_id.encode())}-{secrets.token_hex(4)}{NOTE}"
    write_json(note, {"item_id": item_id})
    return note


def has_changes(folder: Path) -> bool:
    """True where changes are under way, or were cut off."""
    return any((folder / UPLOADS).glob(f"*{NOTE}"))


def finish_changes(folder: Path, store: Store) -> int:
    """Remove the files of changes that a kill cut off, and say how many. Hold the index for it."""
    removed = 0
    for note in sorted((folder / UPLOADS).glob(f"*{NOTE}")):
        try:
            item_id = json.loads(note.read_text(encoding="utf-8"))["item_id"]
            (entry,) = store.get([item_id])
        except FileNotFoundError:
            continue  # its change has just ended
        except (ValueError, KeyError, TypeError):
            note.unlink(missing_ok=True)  # no change begins before its note is whole
            continue
        named = None if entry is None else entry.path
        mine = _digest(item_id.encode())
        # With a dot, those that had no name yet.
        for pattern in (f"{mine}-*", f".{mine}-*.tmp"):
            for file in (folder / UPLOADS).glob(pattern):
                if file.suffix != NOTE and str(file.absolute()) != named:
                    file.unlink(missing_ok=True)
                    removed += 1
        note.unlink(missing_ok=True)
    return removed


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
