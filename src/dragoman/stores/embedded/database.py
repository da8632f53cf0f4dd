"""The SQLite side of the embedded store: tables, entries as rows, and filters looked up there.

N slots.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman import databases
from dragoman.errors import DamagedError, UserError
from dragoman.records import Entry, Scalar, Value
from dragoman.stores.as_json import entry_of, metadata_of, record_of
from dragoman.stores.checks import is_possible_id
from dragoman.stores.embedded.connections import Connection
from dragoman.stores.filters import OWN_FIELDS, And, Compare, Filter, In, Not, Or

FORMAT_VERSION = 2
COLUMNS = "crc, item_id, kind, path, metadata, captions, source"
MEND = "Restore the index from a backup, or remove it and make it again: dragoman index"

# SQLite orders numbers before texts before blobs, so each range ends where the next kind begins.
_ENDS = {str: ("value >= ''", "value < x''"), float: ("value < ''",)}

Stored = str | int | float | bytes

# `entries.slot` is the row of the vector. The lower 32 bits of `crc` are the checksum of the vector, the
# next 31 that of the other columns; in indexes of before there were two checksums these are 0. `fields` holds
# one row for each value of metadata, which filters are looked up in; true and false are the blobs 01 and 00
# there, so that they never equal 1 and 0. `dead` holds the slots that no entry has any more, with the
# sequence number of the write that freed them.
_TABLES = """
CREATE TABLE entries (
  slot INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, crc INTEGER NOT NULL,
  kind TEXT NOT NULL, path TEXT, metadata TEXT NOT NULL, captions TEXT NOT NULL, source TEXT NOT NULL
);
CREATE TABLE fields (name TEXT, value BLOB, slot INTEGER, PRIMARY KEY (name, value, slot)) WITHOUT ROWID;
CREATE TABLE dead (slot INTEGER PRIMARY KEY, since INTEGER NOT NULL);
CREATE INDEX dead_since ON dead (since);
CREATE TABLE state (width INTEGER, sequence INTEGER, generation INTEGER, slots INTEGER, precision TEXT);
"""
_WIDE = "float32"
"""Precision of indexes of before there was another."""


def make_tables(database: Connection, path: Path, width: int, precision: str, name: str, make: bool) -> None:
    """Make what is missing. Raises UserError where the index is of another width, precision or a newer
    format, and DamagedError where it is another one, or empty and not to be made."""
    if not database.read_only:
        _make_missing(database, path, width, precision, name, make)
    version = _version(database)
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, but this dragoman reads up to {FORMAT_VERSION}. "
            "Upgrade it: pip install --upgrade dragoman"
        )
    # Files of two indexes may have changed places, whole and sound.
    numbers = {database.execute("PRAGMA application_id").fetchone()[0], _number_of(name)}
    if len(numbers - {0}) > 1:
        raise DamagedError(f"{path} belongs to another index. {MEND}")
    found = database.execute("SELECT width FROM state").fetchone()[0]
    if found != width:
        raise UserError(
            f"{path.parent} holds vectors of width {found}, but {width} was asked for. "
            "Open it with the model that it was built with, or build another index."
        )
    kept = database.execute("SELECT precision FROM state").fetchone()[0] if version > 1 else _WIDE
    if kept != precision:
        raise UserError(
            f"{path.parent} holds vectors as {kept}, but {precision} was asked for. Open it with "
            f"precision={kept}, or build another index."
        )


def _number_of(name: str) -> int:
    """The number by which a database knows its index; 0 where it cannot be told from others.

    Only names that an index gave itself are unlike all others; people may open one under any name.
    """
    given = re.fullmatch(r"g[0-9a-f]{8}_[0-9a-f]{12}", name)
    return (zlib.crc32(name.encode()) & 0x7FFFFFFF) or 1 if given else 0


def _make_missing(
    database: sqlite3.Connection, path: Path, width: int, precision: str, name: str, make: bool
) -> None:
    if not make and _version(database) == 0:
        raise DamagedError(f"{path} is empty. {MEND}")
    # A write-ahead log, so that readers keep their state of the database while a writer goes on. Asked first:
    # a change of the mode needs the database for itself.
    if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        database.execute("PRAGMA journal_mode = WAL")
    if _version(database) == 0:
        database.execute("BEGIN IMMEDIATE")
        # Another process may have made them meanwhile.
        if _version(database) == 0:
            if any(path.parent.glob("vectors-*.*")):
                # An empty database beside vectors was never written by us: tables are made before vectors.
                database.execute("ROLLBACK")
                raise DamagedError(f"{path} is empty, but its vectors are there. {MEND}")
            for statement in _TABLES.split(";\n"):
                database.execute(statement)
            database.execute("INSERT INTO state VALUES (?, 0, 0, 0, ?)", (width, precision))
            database.execute(f"PRAGMA application_id = {_number_of(name)}")
            # What holds float32 is read by those of before as well.
            database.execute(f"PRAGMA user_version = {1 if precision == _WIDE else FORMAT_VERSION}")
        database.execute("COMMIT")


def explained(path: Path) -> AbstractContextManager[None]:
    """Say in words what SQLite complains of."""
    return databases.explained(
        path,
        "The index",
        unusable="Check that the folder is whole, and that this user may read it.",
        damaged=MEND,
    )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def slot_of(database: sqlite3.Connection, item_id: str) -> int | None:
    """The slot of an id, None where there is none."""
    if not is_possible_id(item_id):
        return None
    row = database.execute("SELECT slot FROM entries WHERE item_id = ?", (item_id,)).fetchone()
    return None if row is None else int(row[0])


def entry_at(database: sqlite3.Connection, slot: int) -> Entry:
    """The entry of a living slot."""
    return read_entry(database.execute(f"SELECT {COLUMNS} FROM entries WHERE slot = ?", (slot,)).fetchone())


def read_entry(row: Sequence[Any] | None) -> Entry:
    """Make the entry whose `COLUMNS` were read. Raises DamagedError where it is not as it was written."""
    item_id = require_sound(row)
    assert row is not None
    _, _, kind, path, metadata, captions, source = row
    try:
        read = {"metadata": json.loads(metadata), "captions": json.loads(captions)}
        return entry_of(item_id, {"kind": kind, "path": path, **read, "source": source})
    except (ValueError, TypeError, AttributeError, RecursionError):
        # Only in indexes that have no checksum of their entries.
        raise _damaged(item_id) from None


def read_metadata(row: Sequence[Any]) -> dict[str, Value]:
    """Read the metadata of the entry whose `COLUMNS` were read. Raises DamagedError where any of these is not
    as it was written."""
    require_sound(row)
    # What fits its checksum is as it was written. Of before there were any, reading the whole entry tells.
    return metadata_of(json.loads(row[4])) if row[0] >> 32 else dict(read_entry(row).metadata)


def require_sound(row: Sequence[Any] | None, stored_B: NDArray[np.uint8] | None = None) -> str:
    """Compare the `COLUMNS` that were read, and the vector as stored, with their checksum; returns the id.

    Raises DamagedError where they differ, and where there is no row.
    """
    if row is None:
        raise DamagedError(f"An entry that the index names is missing. {MEND}")
    crc, item_id = row[:2]
    if not isinstance(crc, int) or (crc >> 32 and crc >> 32 != _crc_of(row[1:])):
        raise _damaged(item_id)
    if stored_B is not None and zlib.crc32(stored_B.data) != crc & 0xFFFFFFFF:
        raise DamagedError(f"The vector of {item_id!r} in the index is torn. {MEND}")
    return str(item_id)


def _damaged(item_id: object) -> DamagedError:
    return DamagedError(f"The entry {item_id!r} of the index is damaged. {MEND}")


def _crc_of(columns: Sequence[Any]) -> int:
    # 31 bits, as SQLite has no integer above 63; never 0, which stands for no checksum.
    return (zlib.crc32(repr(tuple(columns)).encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) or 1


def insert(database: sqlite3.Connection, entry: Entry, slot: int, stored_B: NDArray[np.uint8]) -> None:
    """Give an entry a slot that is free, with its vector as stored."""
    columns = _columns(entry)
    crc = zlib.crc32(stored_B.data) | _crc_of((entry.item_id, *columns)) << 32
    place = (slot, entry.item_id, crc)
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*place, *columns))
    _insert_fields(database, entry, slot)


def rewrite(database: sqlite3.Connection, entry: Entry) -> None:
    """Replace an entry that is there, but not its vector."""
    slot = slot_of(database, entry.item_id)
    assert slot is not None
    _delete_fields(database, slot)
    columns = _columns(entry)
    query = (
        "UPDATE entries SET kind = ?, path = ?, metadata = ?, captions = ?, source = ?, "
        # The vector stays, and its checksum with it.
        "crc = (crc & 4294967295) | ? WHERE slot = ?"
    )
    database.execute(query, (*columns, _crc_of((entry.item_id, *columns)) << 32, slot))
    _insert_fields(database, entry, slot)


def remove(database: sqlite3.Connection, item_id: str) -> bool:
    """Remove an entry; its slot is dead from the write on that is under way. False where there is none."""
    slot = slot_of(database, item_id)
    if slot is None:
        return False
    _delete_fields(database, slot)
    database.execute("DELETE FROM entries WHERE slot = ?", (slot,))
    # The number that the state has once this is committed: who knows an older one asks for what died since.
    database.execute("INSERT INTO dead SELECT ?, sequence + 1 FROM state", (slot,))
    return True


def field_rows(metadata: Mapping[str, Value], slot: int) -> set[tuple[str, Stored, int]]:
    """The rows of table `fields` for the metadata of one entry."""
    return {
        (name, stored(one), slot)
        for name, value in metadata.items()
        for one in (value if isinstance(value, tuple) else (value,))
    }


def stored(value: Scalar) -> Stored:
    """A value as filters compare it: true and false equal no number."""
    return bytes([value]) if isinstance(value, bool) else value


def passing(database: sqlite3.Connection, filter: Filter, slots: int) -> NDArray[np.bool_]:
    """Mask [N] of the slots that pass; its values at dead slots mean nothing."""
    match filter:
        case Compare(field, "!=", value):
            return ~passing(database, Compare(field, "=", value), slots)
        case Compare(field, relation, value):
            return _holding(database, field, relation, value, slots)
        case In(field, values):
            either = Or(tuple(Compare(field, "=", value) for value in values))
            return passing(database, either, slots)
        case Not(part):
            return ~passing(database, part, slots)
        # As `not (not a or not b)`: masks are then joined by `or` alone, and no part lets everything pass.
        case And(parts):
            return ~passing(database, Or(tuple(map(Not, parts))), slots)
        case Or(parts):
            mask_N = np.zeros(slots, bool)
            for part in parts:
                mask_N |= passing(database, part, slots)
            return mask_N


def _holding(
    database: sqlite3.Connection, field: str, relation: str, value: Scalar, slots: int
) -> NDArray[np.bool_]:
    """Slots of which some value of a field satisfies a comparison."""
    mask_N = np.zeros(slots, bool)
    if isinstance(value, bool) and relation != "=":
        return mask_N
    terms = [f"value {relation} ?"]
    if relation != "=":
        terms += _ENDS[str if isinstance(value, str) else float]
    where = " AND ".join(terms)
    if field in OWN_FIELDS and isinstance(value, str):
        # Columns of the entry itself are not repeated in `fields`; metadata of that name hide them.
        own = f"SELECT slot FROM entries WHERE {where.replace('value', field)}"
        mask_N[slots_of(database.execute(own, (value,)))] = True
        named = database.execute("SELECT slot FROM fields WHERE name = ?", (field,))
        mask_N[slots_of(named)] = False
    query = f"SELECT slot FROM fields WHERE name = ? AND {where}"
    mask_N[slots_of(database.execute(query, (field, stored(value))))] = True
    return mask_N


def slots_of(cursor: sqlite3.Cursor) -> NDArray[np.int64]:
    """The only column of a result."""
    return np.fromiter((slot for (slot,) in cursor), np.int64)


def _columns(entry: Entry) -> tuple[str, str | None, str, str, str]:
    record = record_of(entry)
    return entry.kind, entry.path, _json(record["metadata"]), _json(record["captions"]), entry.source


def _insert_fields(database: sqlite3.Connection, entry: Entry, slot: int) -> None:
    database.executemany("INSERT INTO fields VALUES (?, ?, ?)", field_rows(entry.metadata, slot))


def _delete_fields(database: sqlite3.Connection, slot: int) -> None:
    try:
        rows = field_rows(entry_at(database, slot).metadata, slot)
    except DamagedError:
        # What is damaged can be removed and replaced; slowly, since the fields are not found by their slot.
        database.execute("DELETE FROM fields WHERE slot = ?", (slot,))
        return
    database.executemany("DELETE FROM fields WHERE name = ? AND value = ? AND slot = ?", rows)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
