"""Vectors that come with the captions: a matrix with its ids, or the frames of videos as others publish them.

N vectors, D width, I items of the corpus; F frames, where a row is a video.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import Layout, write_features
from dragoman.corpus.frame_files import frame_files
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.textfiles import numbered_lines

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class GivenFeatures:
    """Row i of `vectors` (.npy) belongs to the item on line i of `ids`; the name is the file's stem.

    A row is one vector, [N, D], or the frames of a video, [N, F, D], shorter ones filled up with NaN.
    """

    vectors: Path
    ids: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", Path(self.vectors))
        object.__setattr__(self, "ids", Path(self.ids))
        object.__setattr__(self, "name", _require_name(self.name or self.vectors.stem))

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """Content hashes of what is read, where it is there."""
        return {str(path): sha256(path) for path in (self.vectors, self.ids) if path.is_file()}

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the vectors of these items, in this order, as float16 into `folder`.

        Raises UserError where a file is damaged, rows and ids differ in number, an id stands twice, a vector
        is not finite in float16, or an item has none.
        """
        vectors = self._load()
        row_of = self._rows(len(vectors))
        _require_all(item_ids, row_of, f"{self.ids} names no vector")
        layout: Layout = "frames" if vectors.ndim == 3 else "whole"
        # One row at a time from the memory map: the matrix may be larger than the memory.
        given = (self._vectors(vectors[row_of[item_id]], row_of[item_id], item_id) for item_id in item_ids)
        write_features(folder, item_ids, given, layout=layout, inputs=self.inputs, source="given")

    def _vectors(self, row: NDArray[np.floating[Any]], number: int, item_id: str) -> NDArray[np.float16]:
        """Return [D], or of a video its frames [F, D] without those that fill it up."""
        if row.ndim == 1:
            return _halved(row, self.vectors, f"row {number + 1} (item {item_id!r})")
        # Only what stands at the end fills up; a frame of NaN among others is damage, and _halved refuses
        # it.
        absent_F = np.isnan(row).all(axis=1)
        count = len(row) - int(np.logical_and.accumulate(absent_F[::-1]).sum())
        if not count:
            raise UserError(
                f"{self.vectors} holds NaN alone for item {item_id!r}, but one frame or more was expected. "
                "Extract it anew, or leave this item out of the corpus."
            )
        return _halved(row[:count], self.vectors, f"item {item_id!r}")

    def _load(self) -> NDArray[np.floating[Any]]:
        fix = "Save a matrix of floats, one row an item: numpy.save('vectors.npy', matrix)"
        if not self.vectors.is_file():
            raise UserError(f"{self.vectors} does not exist or is no file. {fix}")
        try:
            loaded = np.load(self.vectors, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header raises nearly anything, from EOFError to TokenError
            raise UserError(f"{self.vectors} is no readable .npy file ({error}). {fix}") from None
        if not isinstance(loaded, np.ndarray):
            raise UserError(f"{self.vectors} is an archive of several arrays, not one .npy array. {fix}")
        if loaded.ndim not in (2, 3) or loaded.dtype.kind != "f" or 0 in loaded.shape[1:]:
            raise UserError(
                f"{self.vectors} holds {loaded.dtype} of shape {loaded.shape}, but floats of shape "
                f"(items, width), or (items, frames, width), were expected. {fix}"
            )
        return loaded

    def _rows(self, count: int) -> dict[str, int]:
        row_of: dict[str, int] = {}
        for number, raw in numbered_lines(self.ids):
            try:
                item_id = raw.decode("utf-8").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{self.ids}, line {number}: byte {error.start + 1} is not UTF-8. Save the file as UTF-8."
                ) from None
            # Strictly one id a line, without strip(): a blank line would shift all vectors behind it.
            first = row_of.setdefault(item_id, number - 1)
            if first != number - 1:
                raise UserError(
                    f"{self.ids}, line {number}: {item_id!r} stands on line {first + 1} already. "
                    "Keep one line, and one row, an item."
                )
        if len(row_of) != count:
            raise UserError(
                f"{self.vectors} has {count} rows but {self.ids} has {len(row_of)} lines; row i must belong "
                "to line i. Give the ids that were written with these vectors."
            )
        return row_of


@dataclass(frozen=True, kw_only=True)
class GivenFrames:
    """A folder of `<item_id>.npy`, a file of HDF5, or a folder in NRCCR's layout; named after its stem."""

    path: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        object.__setattr__(self, "name", _require_name(self.name or self.path.stem))

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """Content hashes of what is read. Raises UserError where nothing can be."""
        return frame_files(self.path).inputs()

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the frames of these items, in this order, as float16 into `folder`.

        Raises UserError where a file is damaged, widths differ, a vector is not finite in float16, or an
        item has no frames.
        """
        found, width = frame_files(self.path), 0
        _require_all(item_ids, found, f"{self.path} has no frames")

        def videos() -> Iterator[NDArray[np.float16]]:
            nonlocal width
            for item_id in item_ids:
                video = _halved(found.read(item_id), self.path, f"item {item_id!r}")
                width = width or video.shape[1]
                if video.shape[1] != width:
                    raise UserError(
                        f"{self.path}: the frames of {item_id!r} are {video.shape[1]} wide, those of "
                        f"{item_ids[0]!r} {width}. Extract all videos with one model."
                    )
                yield video

        write_features(folder, item_ids, videos(), layout="frames", inputs=self.inputs, source="given")


def _require_name(name: str) -> str:
    """Return the name of a feature set. Raises UserError where it cannot name a folder."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"The feature set cannot be named {name!r}: it names a folder, so letters, digits, '.', "
            "'_' and '-' were expected. Give another name with --feature-name."
        )
    return name


def _require_all(item_ids: Sequence[str], found: Container[str], lacks: str) -> None:
    """Raise UserError, which begins with `lacks`, where an item of the corpus is not among the found ones."""
    missing = [item_id for item_id in item_ids if item_id not in found]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise UserError(
            f"{lacks} for {len(missing)} of {len(item_ids)} items: {shown}. "
            "Extract what is missing, or leave these items out of the corpus."
        )


def _halved(vectors: NDArray[Any], path: Path, owner: str) -> NDArray[np.float16]:
    """Return [D] or [F, D] as float16. Raises UserError that names the vector which is not finite there."""
    with np.errstate(over="ignore"):
        half = vectors.astype(np.float16)
    bad = ~np.isfinite(half).all(axis=-1)
    if bad.any():
        place = f"frame {int(bad.argmax()) + 1} of {owner}" if half.ndim == 2 else owner
        raise UserError(
            f"{path}, {place} holds a value that is not finite in float16 (NaN, infinite, or beyond 65504). "
            "Extract it anew, or scale all vectors."
        )
    return half
