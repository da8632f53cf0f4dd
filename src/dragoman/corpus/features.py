"""Frozen vision vectors of a corpus: `vectors.npy` (memory-mapped), `ids.txt`, `manifest.json`.

N items, R regions, D width. A set holds one vector an item, [N, D], or several, [N, R, D]: the vector of the
whole image, then those of its regions. Sets of the frames of videos are in `frames.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.folders import atomic_path, read_manifest, write_manifest, write_text

FORMAT = "dragoman-features"
FORMAT_VERSION = 1
BLOCK = 4096
"""Rows that are converted at a time."""


class FeatureSet:
    """Vectors of one vision encoder; row i of `vectors`, [N, D] or [N, R, D], belongs to `ids[i]`."""

    def __init__(self, folder: Path, manifest: Mapping[str, object]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.vectors: NDArray[np.floating] = np.load(
            folder / "vectors.npy", mmap_mode="r", allow_pickle=False
        )
        if self.vectors.ndim not in (2, 3) or len(self.vectors) != len(self.ids):
            raise UserError(
                f"{folder}: vectors.npy has shape {self.vectors.shape} but ids.txt has "
                f"{len(self.ids)} lines; one row a line was expected. Make the feature set anew."
            )

    @classmethod
    def open(cls, folder: str | Path) -> FeatureSet:
        """Open a feature folder; the vectors stay on disk until they are indexed."""
        from dragoman.corpus.frames import FRAMES_VERSION, FrameSet

        path = Path(folder)
        make = "dragoman features CORPUS --encoder FOLDER"
        manifest = read_manifest(path, format=FORMAT, format_version=FRAMES_VERSION, make=make)
        return FrameSet(path, manifest) if "frames" in manifest else cls(path, manifest)

    @cached_property
    def ids(self) -> list[str]:
        """Item ids in row order."""
        return (self.folder / "ids.txt").read_text(encoding="utf-8").split("\n")[:-1]

    @property
    def width(self) -> int:
        """D."""
        return int(self.vectors.shape[-1])

    @property
    def regions(self) -> int:
        """R, the vector of the whole image among them; 1 where a set holds nothing else."""
        return int(self.vectors.shape[1]) if self.vectors.ndim == 3 else 1

    @property
    def per_item(self) -> int:
        """Vectors of an item in `whole`; more than 1 where these are frames."""
        return 1

    def whole(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """[n, D] of some rows: what a dual encoder reads of an image."""
        found: NDArray[np.floating] = self.vectors[rows] if self.regions == 1 else self.vectors[rows, 0]
        return found.reshape(len(rows), self.width)

    def parts(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """[n, R, D] of some rows: what a fusion encoder attends to."""
        found: NDArray[np.floating] = self.vectors[rows].reshape(len(rows), self.regions, self.width)
        return found

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.ids)}

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of items. Raises UserError that names the items without a vector."""
        missing = [item_id for item_id in item_ids if item_id not in self._row_of]
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise UserError(
                f"{self.folder} has no vector for {len(missing)} of {len(item_ids)} items: {shown}. "
                "Extract them (dragoman features) or leave these items out of the corpus."
            )
        return np.fromiter((self._row_of[item_id] for item_id in item_ids), np.int64, len(item_ids))


def write_features(
    folder: Path,
    ids: Sequence[str],
    vectors: NDArray[np.floating],
    *,
    inputs: Mapping[str, str],
    rows: NDArray[np.int64] | None = None,
    **details: Any,
) -> None:
    """Write a feature set of given vectors, [N, D] or [N, R, D], as float16, a block at a time.

    `vectors` may be memory-mapped. `ids` names one row of them each, or of `vectors[rows]` where `rows`
    chooses some.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.arange(len(vectors)) if rows is None else rows
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(chosen), *vectors.shape[1:])}
    with atomic_path(folder / "vectors.npy") as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(chosen), BLOCK):
            file.write(vectors[chosen[start : start + BLOCK]].astype("<f2").tobytes())
    write_text(folder / "ids.txt", "".join(f"{item_id}\n" for item_id in ids))
    write_manifest(folder, format=FORMAT, format_version=FORMAT_VERSION, inputs=inputs, **details)
