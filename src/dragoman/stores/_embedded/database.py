"""The SQLite side of the embedded index: tables, connections, and errors in words."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from dragoman import databases
from dragoman.errors import UserError

FORMAT_VERSION = 1

# `entries.slot` is the row of the vector and `crc` its checksum. `fields` holds one row for each value of
# metadata, which filters are looked up in; true and false are the blobs 01 and 00 there, so that they never
# equal 1 and 0. `dead` holds the slots that no entry has any more, with the sequence number of the write that
# freed them.
_TABLES = """
CREATE TABLE entries (
  slot INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, crc INTEGER NOT NULL,
  kind TEXT NOT NULL, path TEXT, metadata TEXT NOT NULL, captions TEXT NOT NULL, source TEXT NOT NULL
);
CREATE TABLE fields (name TEXT, value BLOB, slot INTEGER, PRIMARY KEY (name, value, slot)) WITHOUT ROWID;
CREATE TABLE dead (slot INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE INDEX dead_since ON dead (since);
CREATE TABLE state (width INTEGER, sequence INTEGER, generation INTEGER, slots INTEGER);
"""


def connect(path: Path, wait: float) -> sqlite3.Connection:
    """A connection in which transactions begin and end as the code says, for one thread at a time."""
    database = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA cache_size = -32768")
    database.execute("PRAGMA temp_store = MEMORY")
    return database


def make_tables(database: sqlite3.Connection, path: Path, width: int) -> None:
    """Make what is missing. Raises UserError where the index is of another width or a newer format."""
    if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        database.execute("PRAGMA journal_mode = WAL")
    if _version(database) == 0:
        database.execute("BEGIN IMMEDIATE")
        # Another process may have made them meanwhile.
        if _version(database) == 0:
            for statement in _TABLES.split(";\n"):
                database.execute(statement)
            database.execute("INSERT INTO state VALUES (?, 0, 0, 0)", (width,))
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        database.execute("COMMIT")
    version = _version(database)
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, but this dragoman reads up to {FORMAT_VERSION}. "
            "Upgrade it: pip install --upgrade dragoman"
        )
    found = database.execute("SELECT width FROM state").fetchone()[0]
    if found != width:
        raise UserError(
            f"{path.parent} holds vectors of width {found}, but {width} was asked for. "
            "Open it with the model that it was built with, or build another index."
        )


def explained(path: Path) -> AbstractContextManager[None]:
    """Say in words what SQLite complains of."""
    return databases.explained(
        path,
        "The index",
        unusable="Check that the folder can be written by this user.",
        damaged="Restore it from a backup, or make the index again.",
    )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])
