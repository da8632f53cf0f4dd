"""What is to be indexed, whether it lies in a folder of images or in a corpus."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.media.frames import Frames
from dragoman.records import Kind, Scalar, Value

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
"""No leading zeros: 007 is a name."""


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


def column_values(texts: Sequence[str | None]) -> list[Scalar | None]:
    """A column of a table, as numbers where all of its values read as numbers; empty ones become None."""
    present = [text for text in texts if text]
    if not present or not all(_NUMBER.fullmatch(text) for text in present):
        return [text or None for text in texts]
    return [number(text) if text else None for text in texts]


def number(text: str) -> int | float:
    """A whole number that fits 64 bits as int, any other as float."""
    value = float(text)
    whole = re.fullmatch(r"-?\d+", text) and abs(value) < 2**63
    return int(text) if whole else value


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, Value]:
    """JSON as metadata: inner objects by names with dots, lists of plain values as several values.

    Nulls, empty lists and lists of anything else are left out.
    """
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            if value and all(_plain(one) for one in value):
                found[prefix + name] = tuple(value)
        elif _plain(value):
            found[prefix + name] = value  # type: ignore[assignment]
    return found


def present(metadata: Iterable[tuple[str, Value | None]]) -> dict[str, Value]:
    """Metadata without the fields that are unknown."""
    return {name: value for name, value in metadata if value is not None}


def _plain(value: object) -> bool:
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, str)
