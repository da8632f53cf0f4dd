"""Folders that describe themselves: manifest, atomic replacement, one writer at a time.

Every stage writes a folder with a `manifest.json`. A file under its final name is always complete: it is
written beside its place, flushed to the disk, and renamed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from dragoman.errors import UserError

MANIFEST = "manifest.json"
VERSIONED = ("dragoman", "numpy", "pyarrow", "torch", "transformers", "accelerate", "pillow", "sacrebleu")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and takes the name of `target`.

    On any exception the temporary file is removed and `target` is left as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_text(target: Path, text: str) -> None:
    """Replace `target` with UTF-8 `text`, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Replace `target` with `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    # Names of files may be no valid Unicode; as escapes they can be written, and read again as they were.
    write_text(target, text.encode("utf-8", "backslashreplace").decode())


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder for writing; a second writer gets a UserError at once.

    The lock belongs to the process, so a kill releases it; the lock file itself stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise UserError(
                f"{folder} is being written by another dragoman process. "
                "Wait for it to finish, or give another folder."
            ) from None
        yield


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(names: Sequence[str] = VERSIONED) -> dict[str, str]:
    """Versions of Python and of those named packages that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(
    folder: Path,
    *,
    format: str,
    format_version: int,
    inputs: Mapping[str, str],
    seed: int | None = None,
    **details: Any,
) -> None:
    """Write `manifest.json`: format and version, input hashes, command line, library versions, seed, details.

    `inputs` maps a name or path to a content hash. Write it last: its presence says the folder is complete.
    """
    write_json(
        folder / MANIFEST,
        {
            "format": format,
            "format_version": format_version,
            "inputs": dict(inputs),
            "command": sys.argv,
            "versions": versions(),
            "seed": seed,
            **details,
        },
    )


def read_manifest(folder: Path, *, format: str, format_version: int, make: str) -> dict[str, Any]:
    """Read the manifest of a `format` folder.

    `make` is the command that would make such a folder. Raises UserError where the folder is missing, of
    another format, torn, or newer than `format_version`.
    """
    path = folder / MANIFEST
    kind = format.removeprefix("dragoman-")
    if not path.is_file():
        state = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise UserError(f"{folder} {state}, so it is no complete {kind} folder. Make one: {make}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found, version = manifest["format"], int(manifest["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Rebuild the folder: {make}") from None
    if found != format:
        raise UserError(f"{folder} holds a {found}, but a {format} was expected. Make one: {make}")
    if version > format_version:
        raise UserError(
            f"{folder} has format version {version}, but this dragoman reads up to {format_version}. "
            "Upgrade it: pip install --upgrade dragoman"
        )
    return dict(manifest)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Wait until names that were made, changed or removed in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
