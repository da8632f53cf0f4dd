"""Files that are complete under their final names, and one writer at a time."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import REFUSED, ReadOnlyError, UserError

LOCK = ".lock"
TORN = ".*.tmp"
"""Names of files that `atomic_path` has not named yet."""
WINDOWS = os.name == "nt"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and takes the name of `target`.

    On any exception the temporary file is removed and `target` is left as it was. Raises ReadOnlyError where
    its folder cannot be written.
    """
    # In the same folder, so on the same disk: a rename from another one is a copy, which a kill cuts in two.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with _refusal_told(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.open("xb").close()
    try:
        yield temporary
        # First the content, then the name: systems may bring a rename to the disk before what was written,
        # and a power cut would leave an empty file under the final name.
        sync_file(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The name lies in the folder, whose own blocks wait for a flush as well.
    sync_folder(target.parent)


def write_text(target: Path, text: str) -> None:
    """Replace `target` with UTF-8 `text`, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_json(target: Path, value: object) -> None:
    """Replace `target` with `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    # Names of files may be no valid Unicode; as escapes they can be written, and read again as they were.
    write_text(target, text.encode("utf-8", "backslashreplace").decode())


def remove_torn(folder: Path) -> None:
    """Remove what a killed writer left of files that had no name yet. Hold the folder for it."""
    for torn in folder.rglob(TORN):
        torn.unlink()


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until names that were made, changed or removed in a folder are on the disk."""
    if WINDOWS:  # a folder has no handle there; its names are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(file: Path) -> None:
    with file.open("rb+" if WINDOWS else "rb") as handle:  # Windows flushes only what may be written
        os.fsync(handle.fileno())


def can_write(path: Path) -> bool:
    """Tell if a file, or the names in a folder, may be changed by this process."""
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)


def require_writable(folder: Path) -> None:
    """Raise ReadOnlyError where a folder cannot be written."""
    if not can_write(folder):
        raise _read_only(folder, "permission denied")


@contextmanager
def _refusal_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise _read_only(folder, str(error.strerror)) from None


def _read_only(place: Path, reason: str) -> ReadOnlyError:
    while not place.exists() and place != place.parent:
        place = place.parent
    return ReadOnlyError(
        f"{place} cannot be written by this user ({reason}), so nothing was changed there. "
        "Write as a user who may, give another folder, or work on a copy."
    )


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder for writing; a second writer gets a UserError at once, in this process as well.

    Raises ReadOnlyError where the folder cannot be written.

    The lock belongs to the open file, so a kill releases it; the lock file itself may stay. Files without a
    name that a killed writer left beside it are removed.
    """
    from filelock import FileLock, Timeout  # imported here, as `dragoman --help` needs none of it

    # A marker in place of a lock, which filelock would fall back to, would outlive a kill on another host.
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        with _refusal_told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder} is being written by another dragoman process. "
            "Wait for it to finish, or give another folder."
        ) from None
    try:
        for torn in folder.glob(TORN):
            torn.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
