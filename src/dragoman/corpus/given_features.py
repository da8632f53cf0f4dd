"""Vectors that come with the captions: `vectors.npy`, and `ids.txt` that names their rows.

N vectors, D width, I items of the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import BLOCK, write_features
from dragoman.corpus.lines import numbered_lines
from dragoman.errors import UserError
from dragoman.folders import sha256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class GivenFeatures:
    """Row i of `vectors` (.npy) belongs to the item on line i of `ids`; the name is the file's stem."""

    vectors: Path
    ids: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", Path(self.vectors))
        object.__setattr__(self, "ids", Path(self.ids))
        object.__setattr__(self, "name", self.name or self.vectors.stem)
        if not _NAME.fullmatch(self.name):
            raise UserError(
                f"The feature set cannot be named {self.name!r}: it names a folder, so letters, digits, '.', "
                "'_' and '-' were expected. Give another name with --feature-name."
            )

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the vectors of these items, in this order, as float16 into `folder`.

        Raises UserError where a file is damaged, rows and ids differ in number, an id stands twice, a vector
        is not finite in float16, or an item has none.
        """
        vectors_ND = self._load()
        row_of = self._rows(len(vectors_ND))
        missing = [item_id for item_id in item_ids if item_id not in row_of]
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise UserError(
                f"{self.ids} names no vector for {len(missing)} of {len(item_ids)} items: {shown}. "
                "Extract the missing vectors, or leave these items out of the corpus."
            )
        row_I = np.fromiter((row_of[item_id] for item_id in item_ids), np.int64, len(item_ids))
        self._require_finite(vectors_ND, row_I, item_ids)
        inputs = {str(path): sha256(path) for path in (self.vectors, self.ids)}
        write_features(folder, item_ids, vectors_ND, inputs=inputs, rows=row_I, source="given")

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
        if loaded.ndim != 2 or loaded.dtype.kind != "f" or loaded.shape[1] == 0:
            raise UserError(
                f"{self.vectors} holds {loaded.dtype} of shape {loaded.shape}, but floats of shape "
                f"(items, width) were expected. {fix}"
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
