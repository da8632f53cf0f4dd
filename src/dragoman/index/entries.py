"""Entries of an index: what each was made from, and which of them are moments of one video.

An item of the kind image is one entry under its own id. A video is its moments, entries under ids like
`trip.mp4#t=12.00,18.50`: media fragments (W3C Media Fragments URI 1.0, section 4.2.1), which players
understand, behind the id of the video.

What an entry was made from stands in one line of text beside its vector (`Entry.source`). So a second run
knows without a look inside which files changed, and a kill cannot part what is known of a file from what was
stored of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.index.items import Notes
from dragoman.media.file_state import place_of
from dragoman.media.frames import Frames
from dragoman.records import Entry
from dragoman.stores import Store
from dragoman.stores.filters import Compare

START, END = "start", "end"
"""Metadata of a moment, in seconds."""
TEXTS = Compare("kind", "=", "text")
"""Entries that are texts."""
PAGE = 1000
"""Entries that are read from a store at a time."""
_FRAGMENT = re.compile(r"#t=\d+\.\d\d,\d+\.\d\d$")
_LINE = re.compile(
    r"(file|vector|text) ([0-9a-f]{64}) (\d+) (-?\d+) ([0-9a-f]{16})(?: ([0-9a-f]+\.[0-9a-f]+))?"
)


class State(NamedTuple):
    """A file, a text, or vectors that were given, and what was said of it."""

    kind: str
    """`file`, `text` or `vector`."""
    digest: str
    """sha256 of the content."""
    size: int
    changed: int
    """Time of the last change in nanoseconds; with the size, what is looked at first."""
    notes: str
    """Digest of metadata and captions as they were given."""
    place: str = ""
    """Inode of a file and the time of its last change or renaming; empty in indexes of former versions."""

    def __str__(self) -> str:
        return " ".join(map(str, self)).rstrip()

    def is_file(self, stat: os.stat_result) -> bool:
        """Tell if a file is the one that this was made from, by what can be seen from outside."""
        # Two files of one size and time that change names are told apart by the rest alone.
        seen = (stat.st_size, stat.st_mtime_ns, place_of(stat) if self.place else "")
        return self.kind == "file" and (self.size, self.changed, self.place) == seen

    @classmethod
    def parse(cls, source: str) -> State | None:
        """Read the state of an entry that the job stored; None for entries that came another way."""
        found = _LINE.fullmatch(source)
        if found is None:
            return None
        kind, digest, size, changed, notes, place = found.groups()
        return cls(kind, digest, int(size), int(changed), notes, place or "")


def notes_digest(notes: Notes, path: str | None) -> str:
    """Hash metadata, captions, and the path of the file."""
    # Further captions only where there are some: what has one a language keeps the digest of former indexes.
    known = [*notes[:2], *filter(None, notes[2:]), path]
    text = json.dumps(known, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def text_state(text: str, lang: str, notes: str) -> State:
    """Describe an item that is a text; `notes` is the digest of its notes."""
    # Of some models the vector depends on the language as well.
    content = f"{lang}\n{text}".encode()
    return State("text", hashlib.sha256(content).hexdigest(), len(content), 0, notes)


def frozen_state(frozen: NDArray[np.floating] | Frames, notes: str) -> State:
    """Describe an item that has frozen vision vectors; `notes` is the digest of its notes."""
    vectors = np.ascontiguousarray(frozen.vectors if isinstance(frozen, Frames) else frozen)
    digest = hashlib.sha256(vectors.tobytes())
    if isinstance(frozen, Frames):
        # Other times make other moments of the same vectors.
        digest.update(frozen.edges.tobytes() + bytes([frozen.scenes]))
    return State("vector", digest.hexdigest(), vectors.nbytes, 0, notes)


@dataclass
class Held:
    """Entries that an index holds of an item."""

    item_id: str
    ids: list[str] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    """One, unless a run was killed between two writes: then the item is looked at again."""

    @property
    def state(self) -> State | None:
        """State that all of them were made from, if they were made by the job, from one state."""
        return State.parse(next(iter(self.sources))) if len(self.sources) == 1 else None

    def fits(self, cut: bool) -> bool:
        """Tell if these are moments where a video is cut, else the one entry of the item itself."""
        return self.item_id not in self.ids if cut else self.ids == [self.item_id]

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.ids.append(entry.item_id)
        self.sources.add(entry.source)


def moment_id(video: str, start: float, end: float) -> str:
    """Name the moment of a video from and to seconds of it."""
    return f"{video}#t={start:.2f},{end:.2f}"


def video_id(item_id: str) -> str:
    """Name the video that an id is a moment of; all other ids are given back."""
    return _FRAGMENT.sub("", item_id)


def video_of(entry: Entry) -> str | None:
    """Name the video that an entry is a moment of; None for all others."""
    video = video_id(entry.item_id)
    # Whole videos may have metadata of these names, of their own.
    is_moment = video != entry.item_id and entry.kind == "video" and {START, END} <= entry.metadata.keys()
    return video if is_moment else None


def middle_of(entry: Entry) -> float | None:
    """Give the second of a video that stands for a moment of it; 0 of a whole video, None of an image."""
    if entry.kind != "video":
        return None
    if video_of(entry) is None:
        return 0.0
    return (seconds_of(entry, START) + seconds_of(entry, END)) / 2


def seconds_of(entry: Entry, name: str) -> float:
    """Read `START` or `END` of a moment."""
    value = entry.metadata[name]
    assert isinstance(value, int | float)
    return float(value)


def walk(store: Store) -> Iterator[Entry]:
    """Yield all entries by id, a page at a time."""
    after = ""
    while page := store.scan(after, PAGE):
        yield from page
        after = page[-1].item_id
