"""Complaints of SQLite, in words."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import FULL, DamagedError, UserError

_UNCLEAR = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
"""Errors that may come of a full disk: no file can be made, or the index of a log cannot grow."""
_NEEDED = 1 << 16


@contextmanager
def explained(path: Path, what: str, *, unusable: str, damaged: str) -> Iterator[None]:
    """Raise UserError for an error of SQLite, with the advice for a database that cannot be used or is
    damaged, and OSError where the disk is full. `what` names the database at the start of a sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        unclear = getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNCLEAR
        if "full" in str(error) or (unclear and _is_full(path.parent)):
            raise OSError(errno.ENOSPC, "no space left on the device", str(path)) from None
        if str(error).startswith("Could not decode"):  # Python says so of a text that was none
            raise DamagedError(f"{what} {path} is damaged ({error}). {damaged}") from None
        raise UserError(f"{what} {path} cannot be used ({error}). {unusable}") from None
    except sqlite3.DatabaseError as error:
        raise DamagedError(f"{what} {path} is damaged ({error}). {damaged}") from None


def _is_full(folder: Path) -> bool:
    """Tell if a small file cannot be written in a folder for want of room."""
    # Tried, since a share of a disk that is used up is not seen otherwise.
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(_NEEDED))
    except OSError as error:
        return error.errno in FULL
    return False
