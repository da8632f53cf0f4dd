"""Complaints of SQLite, in words."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import DamagedError, UserError


@contextmanager
def explained(path: Path, what: str, *, unusable: str, damaged: str) -> Iterator[None]:
    """Raise UserError for an error of SQLite, with the advice for a database that cannot be used or is
    damaged, and OSError where the disk is full. `what` names the database at the start of a sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OSError(errno.ENOSPC, "no space left on the device", str(path)) from None
        raise UserError(f"{what} {path} cannot be used ({error}). {unusable}") from None
    except sqlite3.DatabaseError as error:
        raise DamagedError(f"{what} {path} is damaged ({error}). {damaged}") from None
