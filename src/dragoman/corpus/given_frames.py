"""Ready-made frame features that come with the captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import write_features
from dragoman.corpus.frame_files import FrameFiles, frame_files
from dragoman.corpus.given_features import halved, require_all, require_name
from dragoman.errors import UserError


@dataclass(frozen=True, kw_only=True)
class GivenFrames:
    """A folder of `<item_id>.npy`, a file of HDF5, or a folder in NRCCR's layout; named after its stem."""

    path: Path
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        object.__setattr__(self, "name", require_name(self.name or self.path.stem))

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """Content hashes of what is read. Raises UserError where nothing can be."""
        return frame_files(self.path).inputs()

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the frames of these items, in this order, as float16 into `folder`.

        Raises UserError where a file is damaged, widths differ, a vector is not finite in float16, or an
        item has no frames.
        """
        found = frame_files(self.path)
        require_all(item_ids, found, f"{self.path} has no frames")
        videos = _videos(found, item_ids, self.path)
        write_features(folder, item_ids, videos, layout="frames", inputs=self.inputs, source="given")


def _videos(found: FrameFiles, item_ids: Sequence[str], path: Path) -> Iterator[NDArray[np.float16]]:
    width = None
    for item_id in item_ids:
        video = halved(found.read(item_id), item_id, path)
        width = width or video.shape[1]
        if video.shape[1] != width:
            raise UserError(
                f"{path}: the frames of {item_id!r} are {video.shape[1]} wide, those of {item_ids[0]!r} "
                f"{width}. Extract all videos with one model."
            )
        yield video
