"""States of media files: which content a vector was made of, and whether the file still has it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple


class FileState(NamedTuple):
    """A file as it was read; as text, five words in one line."""

    kind: str
    """`image` or `video`: as what it was read; `text` of one that lies in no file."""
    digest: str
    """sha256 of the content."""
    size: int
    changed: int
    """Time of the last change in nanoseconds; with size and place, what is looked at first."""
    place: str
    """Answer of `place_of`."""

    def __str__(self) -> str:
        return " ".join(map(str, self)) if self != UNKNOWN else ""

    @classmethod
    def parse(cls, line: str) -> FileState:
        """Read the text of a state; `UNKNOWN` is an empty one."""
        if not line:
            return UNKNOWN
        kind, digest, size, changed, place = line.split(" ")
        return cls(kind, digest, int(size), int(changed), place)

    @classmethod
    def of(cls, kind: str, file: str | Path) -> FileState:
        """Read a file whole; `UNKNOWN` where none can be read there."""
        try:
            # The time first, so that a file which is written meanwhile is read again by the next run.
            seen = Path(file).stat()
            # To read from a pipe would wait for ever.
            if not stat.S_ISREG(seen.st_mode):
                return UNKNOWN
            with Path(file).open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except (OSError, ValueError):  # a path may hold what no path can
            return UNKNOWN
        return cls(kind, digest, seen.st_size, seen.st_mtime_ns, place_of(seen))

    @classmethod
    def of_text(cls, text: str) -> FileState:
        """Describe a text that lies in no file."""
        content = text.encode()
        return cls("text", hashlib.sha256(content).hexdigest(), len(content), 0, "-")

    def now(self, kind: str, file: str | Path) -> FileState:
        """Give the state of a file today: this one where all that is seen from outside is as it was.

        This one also where no file can be seen: a disk that is not there changes nothing.
        """
        try:
            seen = Path(file).stat()
        except (OSError, ValueError):
            return self
        if self[2:] == (seen.st_size, seen.st_mtime_ns, place_of(seen)) and self.kind == kind:
            return self
        found = FileState.of(kind, file)
        return self if found == UNKNOWN else found

    def is_content(self, other: FileState) -> bool:
        """Tell if two states are of one content, read as the same."""
        return self[:2] == other[:2]


UNKNOWN = FileState("", "", 0, 0, "")
"""State where nothing is known of the file."""


def place_of(seen: os.stat_result) -> str:
    """Tell which file of a disk it is, and since when it has its name and content."""
    # Folders that change names leave the times of their files alone, but not what is found under a path.
    return f"{seen.st_ino:x}.{seen.st_ctime_ns:x}"
