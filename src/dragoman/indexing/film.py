"""What an index holds of a video: its moments, entries under ids like `film.mp4#t=12.00,18.50`.

The ids are media fragments (W3C Media Fragments URI 1.0, section 4.2.1), which players understand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dragoman.indexing.state import State
from dragoman.records import Entry

START, END = "start", "end"
"""Metadata of a moment, in seconds."""
_FRAGMENT = re.compile(r"#t=\d+\.\d\d,\d+\.\d\d$")


def moment_id(path: str, start: float, end: float) -> str:
    """The id of a moment of the video at `path`, from and to seconds of it."""
    return f"{path}#t={start:.2f},{end:.2f}"


def film_id(item_id: str) -> str:
    """The path of the video that an id is a moment of; all other ids themselves."""
    return _FRAGMENT.sub("", item_id)


@dataclass
class Film:
    """What an index holds of a video."""

    ids: list[str] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    """One, unless a run was killed between two writes: then the video is looked at again."""

    @property
    def state(self) -> State | None:
        """What its entries were made from."""
        return State.parse(next(iter(self.sources))) if len(self.sources) == 1 else None


def film_of(entry: Entry) -> str | None:
    """The path of the video that an entry is a moment of; None for all others."""
    is_moment = entry.kind == "video" and START in entry.metadata and END in entry.metadata
    return entry.path if is_moment else None


def middle_of(entry: Entry) -> float | None:
    """The second of a video that stands for a moment of it; 0 of a whole video, None of an image."""
    if entry.kind != "video":
        return None
    if film_of(entry) is None:
        return 0.0
    return (seconds_of(entry, START) + seconds_of(entry, END)) / 2


def seconds_of(entry: Entry, name: str) -> float:
    """`START` or `END` of a moment."""
    value = entry.metadata[name]
    assert isinstance(value, int | float)
    return float(value)


def note_film(films: dict[str, Film], entry: Entry) -> bool:
    """Note an entry that the job made of a video; False for all others."""
    path = film_of(entry)
    if path is None or State.parse(entry.source) is None:
        return False
    film = films.setdefault(path, Film())
    film.ids.append(entry.item_id)
    film.sources.add(entry.source)
    return True
