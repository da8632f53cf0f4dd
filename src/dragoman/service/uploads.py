"""Files that came over HTTP: kept in `uploads/` of the index folder, one for each item."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dragoman.folders import atomic_path
from dragoman.media.images import format_of
from dragoman.records import Entry

FOLDER = "uploads"
SUFFIX = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


def keep(folder: Path, item_id: str, image: bytes) -> Path:
    """Write an image that can be opened, durably, and say where it is.

    The name is made of digests: nothing that a client wrote becomes part of a path.
    """
    format = format_of(image)
    suffix = SUFFIX.get(format, f".{format.lower()}")
    target = folder / FOLDER / f"{_digest(item_id.encode())}-{_digest(image)}{suffix}"
    if not target.exists():
        with atomic_path(target) as temporary:
            temporary.write_bytes(image)
    return target


def forget(folder: Path, entry: Entry | None, *, unless: Entry | None = None) -> None:
    """Remove the file of an entry if it was uploaded, and `unless` is not kept in the same one."""
    if entry is None or entry.path is None or (unless is not None and unless.path == entry.path):
        return
    file = Path(entry.path)
    if file.parent == (folder / FOLDER).absolute():
        file.unlink(missing_ok=True)


def source_of(image: bytes) -> str:
    """The digest that an entry's `source` holds."""
    return "upload:" + hashlib.sha256(image).hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
