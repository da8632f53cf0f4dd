"""Vectors that come with the captions: `vectors.npy`, and `ids.txt` that names their rows.

N vectors, D width, I items of the corpus; F frames, where a row is a video.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.textfiles import numbered_lines

BLOCK = 4096
"""Rows that are looked at together."""
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
        object.__setattr__(self, "name", require_name(self.name or self.vectors.stem))

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
        require_all(item_ids, row_of, f"{self.ids} names no vector")
        row_I = np.fromiter((row_of[item_id] for item_id in item_ids), np.int64, len(item_ids))
        if vectors.ndim == 3:
            videos = (self._frames(vectors[row], name) for row, name in zip(row_I, item_ids, strict=True))
            write_features(folder, item_ids, videos, layout="frames", inputs=self.inputs, source="given")
        else:
            self._require_finite(vectors, row_I, item_ids)
            rows = (vectors[row] for row in row_I)
            write_features(folder, item_ids, rows, layout="whole", inputs=self.inputs, source="given")

    def _frames(self, row_FD: NDArray[np.floating[Any]], item_id: str) -> NDArray[np.float16]:
        """Frames of a video without those that fill it up."""
        absent_F = np.isnan(row_FD).all(axis=1)
        count = len(row_FD) - int(np.logical_and.accumulate(absent_F[::-1]).sum())
        if not count:
            raise UserError(
                f"{self.vectors} holds NaN alone for item {item_id!r}, but one frame or more was expected. "
                "Extract it anew, or leave this item out of the corpus."
            )
        return halved(row_FD[:count], item_id, self.vectors)

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

    def _require_finite(
        self, vectors_ND: NDArray[np.floating[Any]], row_I: NDArray[np.int64], item_ids: Sequence[str]
    ) -> None:
        for start in range(0, len(row_I), BLOCK):
            with np.errstate(over="ignore"):
                half_BD = vectors_ND[row_I[start : start + BLOCK]].astype(np.float16)
            bad_B = ~np.isfinite(half_BD).all(axis=1)
            if bad_B.any():
                place = start + int(bad_B.argmax())
                raise UserError(
                    f"{self.vectors}, row {row_I[place] + 1} (item {item_ids[place]!r}) holds a value "
                    "that is not finite in float16 (NaN, infinite, or beyond 65504). Extract it anew, or "
                    "scale all vectors."
                )


def require_name(name: str) -> str:
    """The name of a feature set, which is that of a folder. Raises UserError where it cannot be."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"The feature set cannot be named {name!r}: it names a folder, so letters, digits, '.', "
            "'_' and '-' were expected. Give another name with --feature-name."
        )
    return name


def require_all(item_ids: Sequence[str], found: Container[str], lacks: str) -> None:
    """Raise UserError, which begins with `lacks`, where an item of the corpus is not among the found ones."""
    missing = [item_id for item_id in item_ids if item_id not in found]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise UserError(
            f"{lacks} for {len(missing)} of {len(item_ids)} items: {shown}. "
            "Extract what is missing, or leave these items out of the corpus."
        )


def halved(video_FD: NDArray[Any], item_id: str, path: Path) -> NDArray[np.float16]:
    """Frames as float16. Raises UserError that names the frame whose vector is not finite there."""
    with np.errstate(over="ignore"):
        half_FD = video_FD.astype(np.float16)
    bad_F = ~np.isfinite(half_FD).all(axis=1)
    if bad_F.any():
        raise UserError(
            f"{path}, frame {int(bad_F.argmax()) + 1} of item {item_id!r} holds a value that is not finite "
            "in float16 (NaN, infinite, or beyond 65504). Extract it anew, or scale all vectors."
        )
    return half_FD
