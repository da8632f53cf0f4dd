"""Checksums: a damaged file is one clear error, and never another answer.

A manifest lists the files that its stage wrote, with their sizes and SHA-256. A JSON file that is changed on
its own is *sealed*: it holds the checksum of its other values. Folders that were written before there were
checksums have none, and are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dragoman.errors import DamagedError
from dragoman.folders.files import sha256, write_json

MANIFEST = "manifest.json"
SEAL = "checksum"
"""Key of a sealed JSON object."""
VERIFIED_BYTES = 1 << 30
"""Larger files are compared on opening by their size alone; `dragoman check` reads them whole."""

Digest = dict[str, Any]

# What was verified in this process, by name, size and time of change: a folder is opened many times.
_verified: dict[tuple[str, int, int, int], str] = {}


def write_sealed(target: Path, value: Mapping[str, Any]) -> None:
    """Replace `target` with a JSON object that holds its own checksum, atomically."""
    write_json(target, {**value, SEAL: _checksum(json.loads(json.dumps(value)))})


def read_sealed(path: Path, fix: str, *, sealed: bool = False) -> dict[str, Any]:
    """Read a JSON object, without its checksum, which it must have where it is known to be `sealed`.

    Raises DamagedError with the `fix` where the file is missing, no JSON object, or not as it was written.
    """
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing. {fix}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise DamagedError(f"{path} is damaged ({error}). {fix}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{path} is damaged (a JSON object was expected). {fix}")
    # Checksums of files came with those of the JSON that lists them: folders of before have neither.
    if SEAL not in value and (sealed or "files" in value):
        raise DamagedError(f"{path} is damaged (its own checksum is missing). {fix}")
    if SEAL in value and value.pop(SEAL) != _checksum(value):
        raise DamagedError(f"{path} is damaged (its checksum is that of other content). {fix}")
    return value


def digest(path: Path) -> Digest:
    """Size and SHA-256 of a file, as a manifest lists it."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def files_of(folder: Path) -> list[Path]:
    """List the files that the manifest of a folder answers for, and the manifest itself, by path.

    A folder below it with a manifest of its own answers for itself.
    """
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        # A leading dot marks locks, files without a name yet, and folders of unfinished work.
        if path.name.startswith("."):
            continue
        if path.is_file():
            found.append(path)
        elif not path.is_symlink() and not (path / MANIFEST).is_file():
            found += files_of(path)
    return found


def list_files(folder: Path, kept: Iterable[str], apart: Iterable[str]) -> dict[str, Digest]:
    """Digests of the files of a folder whose relative names match `kept` and do not match `apart`.

    Both are patterns, whose `*` stands for anything.
    """
    kept, apart, found = tuple(kept), tuple(apart), {}
    for path in files_of(folder):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST and matches(name, kept) and not matches(name, apart):
            found[name] = digest(path)
    return found


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Say whether a relative name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def damages(folder: Path, listed: Mapping[str, Digest], most_bytes: int | None = VERIFIED_BYTES) -> list[str]:
    """Say of each listed file what is wrong with it; nothing where all are as they were written.

    A file of more than `most_bytes` is compared by its size alone; None compares all of them whole.
    """
    found = {name: _wrong(folder / name, one, most_bytes) for name, one in listed.items()}
    return [f"{name} {wrong}" for name, wrong in found.items() if wrong]


def require_sound(folder: Path, fix: str) -> None:
    """Compare the files that are in a folder with its manifest, where it has one, whatever its format.

    A part of the folder may do for what is asked of it; who needs a file that is missing says so. Raises
    DamagedError with the `fix` that names what is damaged.
    """
    if (folder / MANIFEST).is_file():
        listed = read_sealed(folder / MANIFEST, fix).get("files", {})
        here = {name: one for name, one in listed.items() if (folder / name).exists()}
        if wrong := damages(folder, here):
            raise DamagedError(f"{folder} is damaged: {'; '.join(wrong[:3])}. {fix}")


def require_whole_archive(path: Path) -> None:
    """Read a zip archive, as a checkpoint is one, and compare the checksums that it holds.

    Raises ValueError, BadZipFile or OSError where it is not as it was written.
    """
    with zipfile.ZipFile(path) as archive:
        if torn := archive.testzip():
            raise ValueError(f"{torn} is not as it was written")


def _wrong(path: Path, listed: Digest, most_bytes: int | None) -> str | None:
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    # A file that is being replaced is listed as it was and as it will be: a kill may come between the two.
    allowed = [one for one in (listed, listed.get("next")) if one and one["bytes"] == state.st_size]
    if not allowed:
        return f"has {state.st_size:,} bytes, but {listed['bytes']:,} were written"
    if most_bytes is not None and state.st_size > most_bytes:
        return None
    key = (str(path), state.st_ino, state.st_size, state.st_mtime_ns)
    try:
        # A check that is asked for reads the disk, since a disk can err without a change of the file.
        found = _verified.get(key) if most_bytes is not None else None
        found = found or sha256(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found not in {one["sha256"] for one in allowed}:
        return "is damaged (its checksum is that of other content)"
    _verified[key] = found
    return None


def _checksum(value: Mapping[str, Any]) -> str:
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
