"""Folders that cannot be written, for people and for root."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OVERRIDE = 1 << 1
"""The right to pass over the modes of files (CAP_DAC_OVERRIDE of Linux), which root has."""
VERSION = 0x20080522


@contextmanager
def denied(*folders: Path) -> Iterator[None]:
    """Take away the right to write in these folders, from this thread and those that it starts."""
    places = [place for folder in folders for place in (folder, *folder.rglob("*"))]
    modes = {place: place.stat().st_mode for place in places if not place.is_symlink()}
    for place, mode in modes.items():
        place.chmod(stat.S_IMODE(mode) & ~0o222)
    try:
        with _without_override():
            yield
    finally:
        for place, mode in modes.items():
            place.chmod(stat.S_IMODE(mode))


def in_mount(folder: Path, *command: str) -> list[str]:
    """The command of a process that finds `folder` mounted read-only. Skips where that is not possible."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    as_root = [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"]
    before = ["unshare", "--mount", *as_root, "sh", "-c", mount, str(folder)]
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("this system lets no test mount a folder")
    return [*before, *command]


def content(folder: Path) -> dict[str, str]:
    """Names below a folder, with the digests of files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Rights(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def _without_override() -> Iterator[None]:
    if not hasattr(os, "geteuid"):
        pytest.skip("Windows knows no folders that cannot be written")
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may write everywhere here")
    system = ctypes.CDLL(None, use_errno=True)
    header, rights = _Header(VERSION, 0), (_Rights * 2)()
    assert system.capget(ctypes.byref(header), rights) == 0
    before = rights[0].effective
    rights[0].effective = before & ~OVERRIDE
    assert system.capset(ctypes.byref(header), rights) == 0
    try:
        yield
    finally:
        rights[0].effective = before
        assert system.capset(ctypes.byref(header), rights) == 0
