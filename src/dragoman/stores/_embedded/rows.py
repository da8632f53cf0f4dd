"""Entries as rows of SQLite, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.records import Entry, Scalar, Value
from dragoman.stores.checks import is_possible_id, metadata_of

COLUMNS = "item_id, kind, path, metadata, captions, source"

Stored = str | int | float | bytes


def slot_of(database: sqlite3.Connection, item_id: str) -> int | None:
    """The slot of an id, None where there is none."""
    if not is_possible_id(item_id):
        return None
    row = database.execute("SELECT slot FROM entries WHERE item_id = ?", (item_id,)).fetchone()
    return None if row is None else int(row[0])


def entry_at(database: sqlite3.Connection, slot: int) -> Entry:
    """The entry of a living slot."""
    return entry_of(database.execute(f"SELECT {COLUMNS} FROM entries WHERE slot = ?", (slot,)).fetchone())


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry whose `COLUMNS` were read."""
    item_id, kind, path, metadata, captions, source = row
    return Entry(
        item_id=item_id,
        kind=kind,
        path=path,
        metadata=metadata_of(json.loads(metadata)),
        captions=json.loads(captions),
        source=source,
    )


def insert(database: sqlite3.Connection, entry: Entry, slot: int, crc: int) -> None:
    """Name a slot that nobody had."""
    place = (slot, entry.item_id, crc)
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*place, *_columns(entry)))
    _insert_fields(database, entry, slot)


def rewrite(database: sqlite3.Connection, entry: Entry) -> None:
    """Replace an entry that is there, but not its vector."""
    slot = slot_of(database, entry.item_id)
    assert slot is not None
    _delete_fields(database, slot)
    query = "UPDATE entries SET kind = ?, path = ?, metadata = ?, captions = ?, source = ? WHERE slot = ?"
    database.execute(query, (*_columns(entry), slot))
    _insert_fields(database, entry, slot)


def remove(database: sqlite3.Connection, item_id: str) -> bool:
    """Remove an entry; its slot is dead from the write on that is under way. False where there is none."""
    slot = slot_of(database, item_id)
    if slot is None:
        return False
    _delete_fields(database, slot)
    database.execute("DELETE FROM entries WHERE slot = ?", (slot,))
    database.execute("INSERT INTO dead SELECT ?, sequence + 1 FROM state", (slot,))
    return True


def field_rows(entry: Entry, slot: int) -> set[tuple[str, Stored, int]]:
    """The rows of table `fields` for one entry."""
    return {
        (name, stored(one), slot)
        for name, value in entry.metadata.items()
        for one in (value if isinstance(value, tuple) else (value,))
    }


def stored(value: Scalar) -> Stored:
    """A value as filters compare it: true and false equal no number."""
    return bytes([value]) if isinstance(value, bool) else value


def _columns(entry: Entry) -> tuple[str, str | None, str, str, str]:
    return entry.kind, entry.path, _json(entry.metadata), _json(entry.captions), entry.source


def _insert_fields(database: sqlite3.Connection, entry: Entry, slot: int) -> None:
    database.executemany("INSERT INTO fields VALUES (?, ?, ?)", field_rows(entry, slot))


def _delete_fields(database: sqlite3.Connection, slot: int) -> None:
    rows = field_rows(entry_at(database, slot), slot)
    database.executemany("DELETE FROM fields WHERE name = ? AND value = ? AND slot = ?", rows)


def _json(value: Mapping[str, Value] | Mapping[str, str]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
