"""Connections to the database of the embedded store, also where this process cannot write.

SQLite reads with locks, beside a writer, where the two files of its write-ahead log are there. Where they are
not it wants to make them; in a folder that it cannot write it reads only without locks, when told that nobody
writes. That holds until the files change, which is looked at before and after each reading.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from dragoman.errors import UserError
from dragoman.folders import can_write

READ_ATTEMPTS = 10
"""Times that a state is looked for which others do not change meanwhile."""

# Where the files of the log cannot be made; which of them depends on the reason and on SQLite's version.
_UNMADE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
Seen = tuple[tuple[int, int, int] | None, ...]
P = ParamSpec("P")
T = TypeVar("T")


class ChangedError(UserError):
    """The files changed while they were read without locks, so that nothing that was read counts."""


class Connection(sqlite3.Connection):
    """A connection to a database that may lie in a folder which this process cannot write."""

    path: Path
    read_only = False
    unlocked: Seen | None = None
    """The files as they were when it was opened without locks; None where SQLite holds locks."""

    def fits(self) -> bool:
        """Tell if it can still be used: the files are as they were, and as writable."""
        return not self.read_only or (self._steady() and not _can_write(self.path))

    def require_steady(self) -> None:
        """Raise ChangedError where another process may have written to what is read without locks."""
        if not self._steady():
            raise ChangedError(f"{self.path} is changed by another process all the time. Try again.")

    def _steady(self) -> bool:
        return self.unlocked is None or self.unlocked == _seen(self.path)


def read_again(read: Callable[P, T]) -> Callable[P, T]:
    """Repeat what `read` does where it was overtaken by a change."""

    @wraps(read)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(READ_ATTEMPTS - 1):
            with suppress(ChangedError):
                return read(*args, **kwargs)
        return read(*args, **kwargs)

    return repeated


def connect(path: Path, wait: float) -> Connection:
    """A connection in which transactions begin and end as the code says, for one thread at a time.

    Where this process cannot write, it is one for reading.
    """
    return _open(path, wait, "mode=rwc") if _can_write(path) else _connect_reading(path, wait)


def _connect_reading(path: Path, wait: float) -> Connection:
    """A connection that writes nothing. Raises UserError where that takes more than reading."""
    for _ in range(READ_ATTEMPTS):
        seen = _seen(path)
        try:
            database = _open(path, wait, "mode=ro")
            database.execute("PRAGMA user_version")  # reads the file, if nothing did before
            database.read_only = True
            return database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _UNMADE:
                raise
        log = seen[1]
        if log is None or log[1] == 0:
            database = _open(path, wait, "mode=ro&immutable=1")
            database.read_only, database.unlocked = True, seen
            return database
        # Where a writer has just begun, both files are there a moment later.
    raise UserError(
        f"{path}-wal holds changes that are not in the database yet, which takes writing, and {path.parent} "
        "cannot be written. Run `dragoman check INDEX` once as a user who may write there, or on a copy."
    )


def _open(path: Path, wait: float, how: str) -> Connection:
    # Without isolation level: with one, Python begins transactions by itself, and as readers that become
    # writers, which SQLite refuses at once where another wrote meanwhile.
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
        uri=True,
    )
    database.path = path
    # With NORMAL, what was committed to the write-ahead log may be lost with the power.
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA cache_size = -32768")  # KiB, where negative
    database.execute("PRAGMA temp_store = MEMORY")
    return database


def _can_write(path: Path) -> bool:
    # A file of another user in a folder of ours, too: a log of ours beside it would bar its owner.
    return can_write(path.parent) and (can_write(path) or not path.exists())


def _seen(path: Path) -> Seen:
    """Describe the database, its log and the index of its log as they are now."""

    def state(file: Path) -> tuple[int, int, int] | None:
        try:
            found = file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    return tuple(state(path.with_name(path.name + ending)) for ending in ("", "-wal", "-shm"))
