"""A video that a query is made with: a file or its content, all of it or a part."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dragoman.media.images import MAX_MEGAPIXELS, ImageError

# W3C Media Fragments URI 1.0, section 4.2.1, in seconds: #t=3,8 or #t=3 or #t=,8
_PART = re.compile(
    r"(?P<file>.+)#t=(?:npt:)?(?=[\d,])(?P<start>\d+(?:\.\d*)?)?(?:,(?P<end>\d+(?:\.\d*)?))?", re.DOTALL
)


def _go_on() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video, from one second to another, and how much of it may be read."""

    source: str | Path | bytes
    """A file, or the content of one."""
    start: float = 0.0
    """Seconds from the first frame."""
    end: float | None = None
    """Or later than the video ends; None is its end."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Of a frame."""
    max_seconds: float | None = None
    """Longer clips are refused."""
    check: Callable[[], object] = _go_on
    """Called before each packet is decoded; what it raises ends the reading."""

    def __post_init__(self) -> None:
        if self.end is not None and not self.start < self.end:
            part = f"from {self.start:g} to {self.end:g} seconds"
            raise ImageError(
                self.name, f"the part {part} is empty: a part ends after it begins, as in #t=3,8"
            )

    @classmethod
    def named(cls, name: str | Path) -> Clip:
        """The clip of a file, or of the part that a media fragment names: `clip.mp4#t=3,8`, in seconds.

        A file that really has such a name is meant whole.
        """
        part = _PART.fullmatch(str(name))
        if part is None or Path(name).exists():
            return cls(source=name)
        end = part["end"]
        return cls(source=part["file"], start=float(part["start"] or 0), end=float(end) if end else None)

    @property
    def name(self) -> str:
        """What errors call it."""
        return "video" if isinstance(self.source, bytes) else str(self.source)

    def length(self, duration: float) -> float:
        """Seconds of it, of a video that lasts so long, or 0 where neither says.

        Raises ImageError for a part that is not there, or more than is allowed.
        """
        if 0 < duration <= self.start:
            raise ImageError(
                self.name, f"it ends after {duration:.1f} seconds, and the part begins at {self.start:g}"
            )
        ends = [end for end in (duration, self.end) if end]
        length = min(ends) - self.start if ends else 0.0
        self.require(length)
        return length

    def require(self, length: float) -> None:
        """Raise ImageError where it goes on for longer than is allowed."""
        if self.max_seconds is not None and length > self.max_seconds:
            raise ImageError(
                self.name, f"it lasts {length:.1f} seconds, more than the limit of {self.max_seconds:g}"
            )
