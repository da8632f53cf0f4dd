"""What an index holds of a video: its moments, entries under ids like `film.mp4#t=12.00,18.50`.

The ids are media fragments (W3C Media Fragments URI 1.0, section 4.2.1), which players understand. Before the
fragment stands the id of the video: of an item of a corpus, or the path of a file.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

from dragoman.index.state import State
from dragoman.records import Entry

START, END = "start", "end"
"""Metadata of a moment, in seconds."""
_FRAGMENT = re.compile(r"#t=\d+\.\d\d,\d+\.\d\d$")


def moment_id(film: str, start: float, end: float) -> str:
    """The id of a moment of the video `film`, from and to seconds of it."""
    return f"{film}#t={start:.2f},{end:.2f}"


def film_id(item_id: str) -> str:
    """The id of the video that an id is a moment of; all other ids themselves."""
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

    def is_cut(self, film: str, whole: bool) -> bool:
        """Whether these are the moments of the video `film`, or one entry under its own id if `whole`."""
        return self.ids == [film] if whole else film not in self.ids


def film_of(entry: Entry) -> str | None:
    """The id of the video that an entry is a moment of; None for all others."""
    film = film_id(entry.item_id)
    # Whole videos may have metadata of these names, of their own.
    is_moment = film != entry.item_id and entry.kind == "video" and {START, END} <= entry.metadata.keys()
    return film if is_moment else None


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


def note_film(films: dict[str, Film], entry: Entry, videos: Container[str]) -> bool:
    """Note an entry that the job made of a video, or that has the id of one of `videos`; False for others."""
    film = entry.item_id if entry.item_id in videos else film_of(entry)
    if film is None or (film != entry.item_id and State.parse(entry.source) is None):
        return False
    noted = films.setdefault(film, Film())
    noted.ids.append(entry.item_id)
    noted.sources.add(entry.source)
    return True
