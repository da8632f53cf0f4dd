"""The file of vectors: float32 rows that are appended, never changed, and mapped into memory.

`vectors-<generation>.f32` holds row `slot` at byte `slot * D * 4`. The file is longer than its rows, with a
hole at its end: readers map the whole, so that appended rows need no new mapping.

N rows, D width.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.folders import sync_folder

GROWTH = 1.25
LEAST_BYTES = 1 << 20
"""By how much the file outgrows its rows."""
COPIED_ROWS = 8192
"""Rows that are in memory at once while a file is compacted."""


def path_of(folder: Path, generation: int) -> Path:
    return folder / f"vectors-{generation}.f32"


def append(path: Path, first: int, vectors_ND: NDArray[np.float32]) -> None:
    """Write rows from slot `first` on, and wait until they are on the disk."""
    is_new = not path.exists()
    path.touch()
    # Unbuffered: what `write` was given is with the system before `fsync` waits for it.
    with path.open("r+b", buffering=0) as file:
        start, size = first * vectors_ND.shape[1] * 4, vectors_ND.nbytes
        if start + size > os.fstat(file.fileno()).st_size:
            file.truncate(int((start + size) * GROWTH) + LEAST_BYTES)
        file.seek(start)
        data = vectors_ND.reshape(-1).view(np.uint8).data
        while data:  # the system may take less than it is given
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def mapped(path: Path, slots: int, width: int) -> NDArray[np.float32]:
    """All rows that the file has room for, at least `slots` [N, D], read-only. Raises FileNotFoundError, and
    UserError where the file is shorter."""
    if not slots:
        return np.empty((0, width), np.float32)  # such a file may not be there yet
    rows = path.stat().st_size // (4 * width)
    if rows < slots:
        raise UserError(
            f"{path} is shorter than the {slots:,} vectors it should hold. "
            "Restore it from a backup, or make the index again."
        )
    return np.asarray(np.memmap(path, dtype="<f4", mode="r", shape=(rows, width)))


def copy_rows(source_ND: NDArray[np.float32], slots: NDArray[np.int64], target: Path) -> None:
    """Make `target` of some rows of a mapped file, in the order of `slots`."""
    target.unlink(missing_ok=True)
    for start in range(0, len(slots), COPIED_ROWS):
        append(target, start, source_ND[slots[start : start + COPIED_ROWS]])
