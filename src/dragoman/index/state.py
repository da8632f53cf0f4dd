"""What an entry was made from, in one line of text beside its vector (`Entry.source`).

So a second run knows without a look inside which files changed, and a kill cannot part what is known of a
file from what was stored of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.index.collection import Notes
from dragoman.media.frames import Frames

_LINE = re.compile(r"(file|vector) ([0-9a-f]{64}) (\d+) (-?\d+) ([0-9a-f]{16})")


class State(NamedTuple):
    """A file, or a vector that was given, and what was said of it."""

    kind: str
    """`file` or `vector`."""
    digest: str
    """sha256 of the content."""
    size: int
    changed: int
    """Time of the last change in nanoseconds; with the size, what is looked at first."""
    notes: str
    """Digest of metadata and captions as they were given."""

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def parse(cls, source: str) -> State | None:
        """The state of an entry that the job stored; None for entries that came another way."""
        found = _LINE.fullmatch(source)
        if found is None:
            return None
        kind, digest, size, changed, notes = found.groups()
        return cls(kind, digest, int(size), int(changed), notes)


def notes_digest(notes: Notes, path: str | None) -> str:
    """Changes with metadata, captions, and the path of the file."""
    text = json.dumps([*notes, path], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def vector_state(vector_D: NDArray[np.floating], notes: str) -> State:
    """Of an item that has a frozen vision vector; `notes` is the digest of its notes."""
    content = np.ascontiguousarray(vector_D).tobytes()
    return State("vector", hashlib.sha256(content).hexdigest(), len(content), 0, notes)


def frames_state(stored: Frames, notes: str) -> State:
    """Of a video whose frames have frozen vision vectors."""
    content = np.ascontiguousarray(stored.vectors)
    digest = hashlib.sha256(content.tobytes())
    digest.update(stored.edges.tobytes() + bytes([stored.scenes]))
    return State("vector", digest.hexdigest(), content.nbytes, 0, notes)
