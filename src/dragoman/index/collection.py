"""What is to be indexed, whether it lies in a folder of images or in a corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.media.frames import Frames
from dragoman.records import Kind, Value


class Rejected(NamedTuple):
    """Something that cannot be indexed, and why."""

    item_id: str
    path: str | None
    reason: str


class Notes(NamedTuple):
    """What is said of an item beside its picture."""

    metadata: Mapping[str, Value]
    captions: Mapping[str, str]


class NotesError(ValueError):
    """What is said of an item cannot be read; the message names the file and the reason."""


class Collection(ABC):
    """Items with a file or a vector each, and videos. Memory holds their ids, and tables of metadata."""

    root: Path
    """Absolute; the paths of entries are relative to it."""
    ids: Sequence[str]
    """Sorted by code points, without duplicates."""
    videos: Sequence[str] = ()
    """Ids of videos, sorted, none of them among `ids`: their moments become entries."""
    faults: Sequence[Rejected]
    """What was found and is no item."""

    @abstractmethod
    def path(self, item_id: str) -> str | None:
        """As an entry has it: relative to `root`, absolute, or a URI."""

    @abstractmethod
    def notes(self, item_id: str) -> Notes:
        """Metadata and captions. Raises NotesError."""

    def kind(self, item_id: str) -> Kind:
        """image or video."""
        return "image"

    def feature(self, item_id: str) -> NDArray[np.floating] | None:
        """[D] the frozen vision vector of an item that has one; its file is not opened then."""
        return None

    def frames(self, video: str) -> Frames | None:
        """Frozen vision vectors of the frames of one of `videos` that has them; no file is opened then."""
        return None

    def file(self, item_id: str) -> Path | None:
        """The media file, where there should be one on this computer."""
        path = self.path(item_id)
        return None if path is None or "://" in path else self.root / path


def present(metadata: Iterable[tuple[str, Value | None]]) -> dict[str, Value]:
    """Metadata without the fields that are unknown."""
    return {name: value for name, value in metadata if value is not None}
