"""Entries in SQLite, vectors in a file: transactions over both, and snapshots for readers.

Each entry has a slot, the row of its vector. A writer appends rows after the last slot ever committed, waits
until they are on the disk, and then commits the SQLite transaction that names them. So a reader sees no slot
whose vector is not there, a kill leaves rows that no entry names and the next writer overwrites, and a row
that was named never changes: a new vector gets a new slot, and the old one is dead. When most slots are dead,
the living rows move to the file of the next generation.

N slots, D width.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman import forks
from dragoman.errors import DamagedError, UserError
from dragoman.folders import require_writable, sync_folder
from dragoman.stores.embedded.connections import READ_ATTEMPTS, Connection, connect, read_again
from dragoman.stores.embedded.database import COLUMNS, MEND, explained, make_tables, passing, slots_of
from dragoman.stores.embedded.rows import (
    Precision,
    Rows,
    append_rows,
    copy_rows,
    file_of,
    files_of,
    mapped,
    stored,
)
from dragoman.stores.filters import Filter

DATABASE = "entries.sqlite"
MASKS_KEPT = 8
"""In a snapshot: the same filter comes with every letter that a person types."""


@dataclass(frozen=True)
class Snapshot:
    """One committed state of the store, beside its rows in SQLite."""

    sequence: int
    """Grows with every write."""
    generation: int
    """Number of the file of vectors; slots keep their meaning within it."""
    dead: NDArray[np.bool_]
    """[N]"""
    matrix: Rows
    """At least N rows [., D]."""
    masks: dict[Filter, NDArray[np.bool_]] = field(default_factory=dict)
    """Masks of filters that were asked for."""
    ids: dict[int, str] = field(default_factory=dict)
    """Ids of slots that were found before; shared by the snapshots of a generation."""


class View(NamedTuple):
    """One reader's transaction."""

    database: sqlite3.Connection
    state: Snapshot

    def row(self, slot: int) -> Sequence[Any] | None:
        """Read the `COLUMNS` of the entry at a slot."""
        query = f"SELECT {COLUMNS} FROM entries WHERE slot = ?"
        found: Sequence[Any] | None = self.database.execute(query, (slot,)).fetchone()
        return found

    def mask_of(self, filter: Filter) -> NDArray[np.bool_]:
        """Mask [N] of the slots that pass; its values at dead slots mean nothing."""
        # In the snapshot, so that a write forgets them all: no mask can be older than its entries.
        masks = self.state.masks
        found = masks.get(filter)
        if found is None:
            found = passing(self.database, filter, len(self.state.dead))
            if len(masks) >= MASKS_KEPT:
                masks.clear()
            masks[filter] = found
        return found


class StateRow(NamedTuple):
    """The row of table `state` that changes."""

    sequence: int
    generation: int
    slots: int
    """Rows ever committed in this generation."""


class Transactions:
    """One folder with entries and vectors; see the module."""

    def __init__(
        self, folder: Path, width: int, wait: float, name: str, make: bool, precision: Precision
    ) -> None:
        self.folder, self.width, self.wait, self.precision = folder, width, wait, precision
        self.path = folder / DATABASE
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        elif not self.path.exists():
            raise DamagedError(f"{self.path} is missing. {MEND}")
        self._name, self._make = name, make
        self._closed = threading.Event()
        self._idle: list[Connection] = []
        self._last: Snapshot | None = None
        self.renew_in_child()
        forks.watch(self)
        try:
            self._prepare()
        except BaseException:
            self.close()  # a transaction that is open would keep others out
            raise

    def before_fork(self) -> None:
        """Close connections: SQLite allows none to be carried into a child, whose locks would not count."""
        while self._idle:
            self._idle.pop().close()

    def renew_in_child(self) -> None:
        """Make locks that nobody holds."""
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[View]:
        """A consistent view; writers go on meanwhile. Raises ChangedError, to read again (`read_again`)."""
        with explained(self.path), self._connection() as database, _steady(database):
            state = self._begin(database)
            try:
                yield View(database, state)
            finally:
                database.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the only writer, committed at the end, or rolled back at an exception.

        Raises UserError where another writer does not finish within `wait` seconds, ReadOnlyError where this
        process cannot write.
        """
        for place in (self.folder, self.path):
            require_writable(place)
        # A thread goes on as soon as a lock is free; SQLite only asks again, after longer and longer pauses.
        if not self._writing.acquire(timeout=self.wait):
            raise busy(self.folder, self.wait)
        try:
            with explained(self.path), self._connection() as database:
                try:
                    # At once the writer: a reader that becomes one fails where another wrote since it began.
                    database.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if "locked" in str(error):
                        raise busy(self.folder, self.wait) from None
                    raise
                try:
                    yield database
                    database.execute("UPDATE state SET sequence = sequence + 1")
                    database.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                    raise
        finally:
            self._writing.release()

    def append(
        self, database: sqlite3.Connection, vectors_ND: NDArray[np.float32]
    ) -> tuple[int, NDArray[np.uint8]]:
        """Put rows on the disk, within a `writing` transaction; returns the slot of the first, and the rows
        [N, bytes] as they are stored."""
        state, rows_NB = read_state(database), stored(vectors_ND, self.precision)
        # On the disk before the transaction that names them: the other way round, a power cut between the two
        # leaves entries whose vectors are noise.
        append_rows(self._file(state.generation), state.slots, rows_NB)
        database.execute("UPDATE state SET slots = slots + ?", (len(vectors_ND),))
        return state.slots, rows_NB

    def compact(self, database: sqlite3.Connection) -> None:
        """Move the living rows to a new generation, within a `writing` transaction.

        Readers of the old file keep it mapped; it is removed when the next writer comes or the index is
        opened.
        """
        state = read_state(database)
        slots_N = slots_of(database.execute("SELECT slot FROM entries ORDER BY slot"))
        rows = mapped(self._file(state.generation), state.slots, self.width, self.precision)
        copy_rows(rows, slots_N, self._file(state.generation + 1))
        database.execute("CREATE TEMP TABLE moves (old INTEGER PRIMARY KEY, new INTEGER)")
        database.executemany(
            "INSERT INTO moves VALUES (?, ?)", zip(slots_N.tolist(), range(len(slots_N)), strict=True)
        )
        for table in ("entries", "fields"):
            # By way of negative numbers, since no slot may be taken twice even for a moment.
            move = f"UPDATE {table} SET slot = -1 - (SELECT new FROM moves WHERE old = {table}.slot)"
            database.execute(move)
            database.execute(f"UPDATE {table} SET slot = -1 - slot")
        database.execute("DROP TABLE moves")
        database.execute("DELETE FROM dead")
        database.execute("UPDATE state SET generation = generation + 1, slots = ?", (len(slots_N),))

    def remove_old_files(self) -> None:
        """Remove files of earlier generations; who has mapped them keeps them."""
        with explained(self.path), self._connection() as database:
            self._remove_old(read_state(database).generation)

    def close(self) -> None:
        """Release files; connections in use close when their reader is done."""
        self._closed.set()
        self._last = None
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._closed.is_set():
            raise RuntimeError(f"the index in {self.folder} was closed")
        # No fork copies a connection that is in use, nor a lock that SQLite holds inside.
        with forks.section():
            try:
                database = self._idle.pop()
                while not database.fits():
                    database.close()
                    database = self._idle.pop()
            except IndexError:
                database = connect(self.path, self.wait)
            try:
                yield database
            finally:
                if self._closed.is_set():
                    database.close()
                else:
                    self._idle.append(database)

    @read_again
    def _prepare(self) -> None:
        with explained(self.path), self._connection() as database, _steady(database):
            make_tables(database, self.path, self.width, self.precision, self._name, self._make)
            if not database.read_only:
                self._remove_old(read_state(database).generation)

    def _begin(self, database: Connection) -> Snapshot:
        # The file of a generation may go between the look at the state and the mapping, when a writer has
        # compacted: the next look finds the next one.
        for _ in range(READ_ATTEMPTS):
            database.execute("BEGIN")
            try:
                found = self._snapshot(database)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            if found is not None:
                return found
            database.execute("ROLLBACK")
        raise DamagedError(f"{self.folder} lacks its file of vectors. {MEND}")

    def _snapshot(self, database: Connection) -> Snapshot | None:
        """The state that the transaction sees; None where it is older than what is known already."""
        now, last = read_state(database), self._last
        if last is not None and last.sequence == now.sequence:
            return last
        with self._refreshing:
            last = self._last
            if last is None or last.sequence < now.sequence:
                try:
                    last = self._renewed(database, now, last)
                except FileNotFoundError:
                    return None
                database.require_steady()
                self._last = last
        return last if last.sequence == now.sequence else None

    def _renewed(self, database: sqlite3.Connection, now: StateRow, last: Snapshot | None) -> Snapshot:
        same = last is not None and last.generation == now.generation
        dead_N = np.zeros(now.slots, bool)
        # Only what died since the last snapshot is read: the search after a write must not wait for a million
        # rows of `dead`.
        since = -1
        if same and last is not None:
            dead_N[: len(last.dead)] = last.dead
            since = last.sequence
        dead_N[slots_of(database.execute("SELECT slot FROM dead WHERE since > ?", (since,)))] = True
        if same and last is not None and now.slots <= len(last.matrix):
            matrix_ND = last.matrix
        else:
            matrix_ND = mapped(self._file(now.generation), now.slots, self.width, self.precision)
        ids = last.ids if same and last is not None else {}
        return Snapshot(now.sequence, now.generation, dead_N, matrix_ND, ids=ids)

    def _file(self, generation: int) -> Path:
        return file_of(self.folder, generation, self.precision)

    def _remove_old(self, generation: int) -> None:
        for number, path in files_of(self.folder, self.precision):
            if number < generation:
                # Windows keeps a file that someone has mapped; the next writer comes by again.
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)
                sync_folder(self.folder)


@contextmanager
def _steady(database: Connection) -> Iterator[None]:
    """Raise ChangedError in place of any result of the block, errors included, where it does not count."""
    try:
        yield
    except Exception:
        database.require_steady()
        raise
    database.require_steady()


def read_state(database: sqlite3.Connection) -> StateRow:
    return StateRow(*database.execute("SELECT sequence, generation, slots FROM state").fetchone())


def busy(folder: Path, wait: float) -> UserError:
    return UserError(
        f"{folder} is being written by another process, which did not finish within {wait:g} s. "
        "Try again when it has; searching goes on meanwhile."
    )
