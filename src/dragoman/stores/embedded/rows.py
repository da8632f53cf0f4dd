"""Rows of vectors in a mapped file, as wide as they are stored.

`float32` rows are read as they lie. `float16` rows are halves, and read as the float32 of the same value.
`int8` rows hold a vector over its largest component, times 127, as whole numbers, and behind them a float32
by which these become a vector of unit length again.

N rows, D width, B bytes of a row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError
from dragoman.folders import sync_folder
from dragoman.stores.embedded.database import MEND

Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
GROWTH = 1.25
LEAST_BYTES = 1 << 20
"""By how much a file of vectors outgrows its rows."""
COPIED_ROWS = 8192
"""Rows that are in memory at once while a file is compacted."""
_ENDINGS = {"float32": "f32", "float16": "f16", "int8": "i8"}
_HALF_BITS = np.int32(~0x70000000)
_HALF_SCALE = np.float32(2.0**112)


class NarrowRows:
    """[N, D] rows that are stored narrower than float32. A slice shows some of them, as of an array."""

    def __init__(self, stored_NB: NDArray[np.uint8], width: int, precision: Precision) -> None:
        self.stored, self.precision = stored_NB, precision
        self.shape = (len(stored_NB), width)

    def __len__(self) -> int:
        return len(self.stored)

    @overload
    def __getitem__(self, rows: slice) -> NarrowRows: ...
    @overload
    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NarrowRows | NDArray[np.float32]:
        found = NarrowRows(self.stored[rows], self.shape[1], self.precision)
        return found if isinstance(rows, slice) else found.read()

    def read(self) -> NDArray[np.float32]:
        """All of them as float32."""
        return _from_halves(self.stored) if self.precision == "float16" else _from_bytes(self.stored)


Rows = NDArray[np.float32] | NarrowRows
"""[N, D]"""


def check_precision(precision: str) -> None:
    """Raise UserError where it is none of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def stored(vectors_ND: NDArray[np.float32], precision: Precision) -> NDArray[np.uint8]:
    """[N, B] rows of unit vectors as they are stored."""
    if precision == "float16":
        return np.asarray(np.ascontiguousarray(vectors_ND, "<f2").view(np.uint8))
    if precision == "float32":
        return np.asarray(np.ascontiguousarray(vectors_ND, "<f4").view(np.uint8))
    codes_ND: NDArray[np.int8] = np.rint(
        vectors_ND * (127 / np.abs(vectors_ND).max(axis=1, keepdims=True))
    ).astype(np.int8)
    scales_N1 = 1 / np.linalg.norm(codes_ND.astype(np.float64), axis=1, keepdims=True)
    parts = codes_ND.view(np.uint8), scales_N1.astype("<f4").view(np.uint8)
    return np.concatenate(parts, axis=1)


def stored_row(rows: Rows, slot: int) -> NDArray[np.uint8]:
    """[B] one row as it is stored."""
    row_B: NDArray[np.uint8] = (
        rows.stored[slot] if isinstance(rows, NarrowRows) else rows[slot].view(np.uint8)
    )
    return row_B


def _from_halves(stored_NB: NDArray[np.uint8]) -> NDArray[np.float32]:
    # NumPy converts halves one by one. Shifted into the place of a float32's bits they lack the difference of
    # the two biases, which a product mends, that of the smallest halves as well; five times as fast.
    bits_ND = stored_NB.view("<i2").astype(np.int32)
    bits_ND <<= 13
    bits_ND &= _HALF_BITS
    found_ND = bits_ND.view(np.float32)
    found_ND *= _HALF_SCALE
    return found_ND


def _from_bytes(stored_NB: NDArray[np.uint8]) -> NDArray[np.float32]:
    found_ND = stored_NB[:, :-4].view(np.int8).astype(np.float32)
    found_ND *= np.ascontiguousarray(stored_NB[:, -4:]).view("<f4")
    return found_ND


def file_of(folder: Path, generation: int, precision: Precision) -> Path:
    """Name the file of vectors of a generation: row `slot` begins at byte `slot * B`."""
    return folder / f"vectors-{generation}.{_ENDINGS[precision]}"


def files_of(folder: Path, precision: Precision) -> Iterator[tuple[int, Path]]:
    """The generations of a folder that have a file, and that file."""
    for path in folder.glob(f"vectors-*.{_ENDINGS[precision]}"):
        if named := re.fullmatch(r"vectors-([0-9]+)", path.stem):
            yield int(named[1]), path


def bytes_of(width: int, precision: Precision) -> int:
    """B."""
    return width + 4 if precision == "int8" else width * np.dtype(precision).itemsize


def append_rows(path: Path, first: int, rows_NB: NDArray[np.uint8]) -> None:
    """Write rows from slot `first` on, and wait until they are on the disk."""
    is_new = not path.exists()
    path.touch()
    # Unbuffered: what `write` was given is with the system before `fsync` waits for it.
    with path.open("r+b", buffering=0) as file:
        start, size = first * rows_NB.shape[1], rows_NB.nbytes
        if start + size > os.fstat(file.fileno()).st_size:
            # Longer than its rows, with a hole at the end: readers map the whole file, so that most rows that
            # are added later need no new mapping.
            file.truncate(int((start + size) * GROWTH) + LEAST_BYTES)
        file.seek(start)
        data = rows_NB.reshape(-1).data
        while data:  # the system may take less than it is given
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def mapped(path: Path, slots: int, width: int, precision: Precision) -> Rows:
    """All rows that the file has room for, at least `slots`, read-only. Raises FileNotFoundError, and
    DamagedError where the file is shorter."""
    each = bytes_of(width, precision)
    if slots:
        rows = path.stat().st_size // each
        if rows < slots:
            raise DamagedError(f"{path} is shorter than the {slots:,} vectors it should hold. {MEND}")
        try:
            stored_NB = np.asarray(np.memmap(path, dtype=np.uint8, mode="r", shape=(rows, each)))
        except IsADirectoryError:
            raise DamagedError(f"{path} is a folder. {MEND}") from None
    else:
        stored_NB = np.empty((0, each), np.uint8)  # such a file may not be there yet
    return stored_NB.view("<f4") if precision == "float32" else NarrowRows(stored_NB, width, precision)


def copy_rows(rows: Rows, slots: NDArray[np.int64], target: Path) -> None:
    """Make `target` of some rows of a mapped file, in the order of `slots`."""
    target.unlink(missing_ok=True)
    source_NB = rows.stored if isinstance(rows, NarrowRows) else rows.view(np.uint8)
    for start in range(0, len(slots), COPIED_ROWS):
        append_rows(target, start, source_NB[slots[start : start + COPIED_ROWS]])
