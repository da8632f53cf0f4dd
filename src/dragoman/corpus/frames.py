"""Frozen vectors of the frames of videos: a feature set of sequences.

Beside `ids.txt` and `manifest.json` it holds `vectors.npy`, the frames of all items below one another
(memory-mapped), `offsets.npy`, where each item begins, and where times are known `times.npy`, in seconds.

N items, F frames, D width, T frames of all items together. A frame that is not there is NaN: what reads
padding by mistake cannot go unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FORMAT, FeatureSet
from dragoman.errors import UserError
from dragoman.folders import atomic_path, write_manifest, write_text

FRAMES_VERSION = 2
"""Of the feature set's format; versions before it knew vectors of images alone."""
MOST_FRAMES = 64
"""Frames of a video that an encoder reads, as in the code of NRCCR."""


class FrameSet(FeatureSet):
    """Any number of frames an item; those of `ids[i]` are `vectors[offsets[i]:offsets[i + 1]]`."""

    def __init__(self, folder: Path, manifest: Mapping[str, object]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.vectors = _load(folder / "vectors.npy", mmap_mode="r")
        self.offsets: NDArray[np.int64] = _load(folder / "offsets.npy")
        self.times: NDArray[np.float64] | None = None
        """[T] seconds from the beginning of each video, where they are known."""
        if (folder / "times.npy").is_file():
            self.times = _load(folder / "times.npy", mmap_mode="r")
        counts_N, total = np.diff(self.offsets), len(self.vectors)
        if (
            self.vectors.ndim != 2
            or self.offsets.shape != (len(self.ids) + 1,)
            or (self.offsets[0], self.offsets[-1]) != (0, total)
            or (counts_N < 1).any()
            or (self.times is not None and self.times.shape != (total,))
        ):
            raise UserError(
                f"{folder}: vectors.npy of shape {self.vectors.shape}, the offsets, the times and the "
                f"{len(self.ids)} lines of ids.txt do not fit together. Make the feature set anew."
            )

    @property
    def regions(self) -> int:
        """Most frames that `parts` can give."""
        return MOST_FRAMES

    @cached_property
    def most(self) -> int:
        """F of `whole`: frames of the longest item, at most MOST_FRAMES."""
        return min(MOST_FRAMES, int(np.diff(self.offsets).max(initial=1)))

    @property
    def per_item(self) -> int:
        return self.most

    def whole(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """[n, F, D] of some rows; longer videos enter by frames spread evenly, shorter ones end in NaN."""
        found = np.full((len(rows), self.most, self.width), np.nan, self.vectors.dtype)
        for at, row in enumerate(rows):
            start, end = self.offsets[row : row + 2]
            chosen = start + spread(int(end - start), self.most)
            found[at, : len(chosen)] = self.vectors[chosen]
        return found

    def parts(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """As `whole`: the parts of a video are its frames."""
        return self.whole(rows)

    def frames(self, item_id: str) -> tuple[NDArray[np.floating], NDArray[np.float64] | None]:
        """All frames of an item, [F, D], and their times, [F], where these are known."""
        row = int(self.rows([item_id])[0])
        here = slice(*self.offsets[row : row + 2])
        return self.vectors[here], None if self.times is None else np.array(self.times[here])


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` positions: the middles of as many equal parts, or all of them."""
    kept = min(count, most)
    return (2 * np.arange(kept) + 1) * count // (2 * kept)


def padded(videos: Sequence[NDArray[np.floating]]) -> NDArray[np.float16]:
    """[n, F, D] of videos [F, D] of any length, as `FrameSet.whole` gives them."""
    chosen = [video[spread(len(video), MOST_FRAMES)] for video in videos]
    longest = max(len(video) for video in chosen)
    found = np.full((len(videos), longest, chosen[0].shape[1]), np.nan, np.float16)
    for at, video in enumerate(chosen):
        found[at, : len(video)] = video
    return found


def write_frames(
    folder: Path,
    ids: Sequence[str],
    videos: Iterable[NDArray[np.floating]],
    *,
    times: NDArray[np.float64] | None = None,
    inputs: Mapping[str, str],
    **details: Any,
) -> None:
    """Write a feature set of the frames of each id, [F, D], as float16, one video at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "vectors.npy") as temporary, temporary.open("wb") as file:
        offsets = _write_videos(file, videos)
    for name, values in (("offsets", offsets), ("times", times)):
        if values is not None:
            with atomic_path(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, values, allow_pickle=False)
    write_text(folder / "ids.txt", "".join(f"{item_id}\n" for item_id in ids))
    total = int(offsets[-1])
    write_manifest(
        folder, format=FORMAT, format_version=FRAMES_VERSION, inputs=inputs, frames=total, **details
    )


def _write_videos(file: BinaryIO, videos: Iterable[NDArray[np.floating]]) -> NDArray[np.int64]:
    """Where each video begins, and where the last one ends."""
    ends, width = [0], 0
    for video in videos:
        if len(ends) == 1:
            width = video.shape[1]
            _write_header(file, 0, width)
        assert video.shape[1] == width
        file.write(video.astype("<f2").tobytes())
        ends.append(ends[-1] + len(video))
    # NumPy leaves room in a header for a number of rows that is known last.
    file.seek(0)
    _write_header(file, ends[-1], width)
    return np.array(ends, np.int64)


def _write_header(file: BinaryIO, rows: int, width: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)


def _load(file: Path, **options: Any) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(file, allow_pickle=False, **options)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is missing or damaged ({error}). Make the feature set anew.") from None
    return found
