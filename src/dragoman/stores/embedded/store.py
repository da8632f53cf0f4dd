"""The store in a folder of its own, without a server; its kinds differ in how they search it.

N entries, Q queries, D width, C candidates.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError
from dragoman.records import Entry
from dragoman.stores import best as exactly
from dragoman.stores.checks import (
    already_there,
    check_after,
    check_entries,
    checked_queries,
    checked_vectors,
    not_there,
)
from dragoman.stores.contract import Match, Store
from dragoman.stores.embedded.connections import read_again
from dragoman.stores.embedded.database import (
    COLUMNS,
    MEND,
    entry_at,
    field_rows,
    insert,
    read_metadata,
    remove,
    require_sound,
    rewrite,
    slot_of,
)
from dragoman.stores.embedded.rows import Precision, stored_row
from dragoman.stores.embedded.transactions import Transactions, View, read_state
from dragoman.stores.filters import Filter

# LanceDB, or usearch beside SQLite, could take the place of these five modules. Both score in single
# precision and leave ties in any order, and an index of usearch is saved apart from its entries, so that a
# kill between the two leaves one without the other. The contract of stores allows neither.

COMPACT_AFTER = 4096
"""Dead slots; fewer are not worth a new file."""
CHECKED_WHOLE = 10_000
"""Rows of a store that is read whole when it is opened, in 0.1 to 0.2 s; of a larger one each hit is."""
IDS_KEPT = 200_000
"""Ids that stay in memory once they were found: about 100 bytes each."""


class EmbeddedStore(Store):
    """Entries in SQLite, vectors in a mapped file, exact search; `_store` holds them together."""

    def __init__(
        self,
        folder: Path,
        width: int,
        wait: float,
        name: str,
        make: bool,
        precision: Precision = "float32",
    ) -> None:
        self.width = width
        self._store = Transactions(folder, width, wait, name, make, precision)
        if self._is_small() and (wrong := self.check()):
            self.close()
            raise DamagedError(f"{'; '.join(wrong[:3])}. {MEND}")

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        check_entries(entries)
        vectors_ND = checked_vectors(vectors, entries, self.width)
        with self._store.writing() as database:
            known = [one.item_id for one in entries if slot_of(database, one.item_id) is not None]
            if known:
                raise already_there(known)
            self._insert(database, entries, vectors_ND)

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        check_entries(entries)
        vectors_ND = None if vectors is None else checked_vectors(vectors, entries, self.width)
        with self._store.writing() as database:
            missing = [one.item_id for one in entries if slot_of(database, one.item_id) is None]
            if missing:
                raise not_there(missing)
            if vectors_ND is None:
                for entry in entries:
                    rewrite(database, entry)
            else:
                for entry in entries:
                    remove(database, entry.item_id)
                self._insert(database, entries, vectors_ND)
                self._compact_if_due(database)
        self._store.remove_old_files()

    def delete(self, item_ids: Iterable[str]) -> int:
        with self._store.writing() as database:
            removed = sum(remove(database, item_id) for item_id in item_ids)
            self._compact_if_due(database)
        self._store.remove_old_files()
        return removed

    @read_again
    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        query_QD = checked_queries(vectors, self.width)
        with self._store.reading() as view:
            if k < 1 or not len(query_QD):
                return [[] for _ in query_QD]
            allowed_N = None if filter is None else view.mask_of(filter)
            return matches(view, self._best(view, query_QD, k, allowed_N), len(query_QD), k)

    @read_again
    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        with self._store.reading() as view:
            slots = [slot_of(view.database, item_id) for item_id in item_ids]
            return [None if slot is None else entry_at(view.database, slot) for slot in slots]

    @read_again
    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        with self._store.reading() as view:
            slots = [slot_of(view.database, item_id) for item_id in item_ids]
            missing = [item_id for item_id, slot in zip(item_ids, slots, strict=True) if slot is None]
            if missing:
                raise KeyError(missing[0])
            return _sound_vectors(view, np.array(slots, np.int64))

    @read_again
    def sample(self, count: int, filter: Filter | None = None) -> NDArray[np.float32]:
        with self._store.reading() as view:
            living_N = ~view.state.dead
            slots = np.flatnonzero(living_N if filter is None else living_N & view.mask_of(filter))
            chosen = slots[:: max(1, -(-len(slots) // max(count, 1)))]
            return _sound_vectors(view, chosen)

    @read_again
    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        check_after(after)
        found: list[Entry] = []
        with self._store.reading() as view:
            allowed_N = None if filter is None else view.mask_of(filter)
            query = "SELECT slot FROM entries WHERE item_id > ? ORDER BY item_id"
            for (slot,) in view.database.execute(query, (after,)):
                if len(found) >= limit:
                    break
                if allowed_N is None or allowed_N[slot]:
                    found.append(entry_at(view.database, slot))
        return found

    @read_again
    def count(self, filter: Filter | None = None) -> int:
        with self._store.reading() as view:
            living_N = ~view.state.dead
            return int(np.count_nonzero(living_N if filter is None else living_N & view.mask_of(filter)))

    def size(self) -> int:
        # Blocks, not lengths: a file of vectors has a hole at its end, which takes no place.
        files = [path.stat() for path in self._store.folder.iterdir() if path.is_file()]
        # Windows does not tell of blocks; there such a hole is filled.
        return sum(file.st_blocks * 512 if hasattr(file, "st_blocks") else file.st_size for file in files)

    @read_again
    def check(self) -> list[str]:
        """List what is wrong with the store, one line each; nothing where it is sound.

        Compares every vector with the checksum that was stored with its entry, and reads all that is stored.
        """
        wrong = []
        with self._store.reading() as view:
            verdict = view.database.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                wrong.append(f"{self._store.path}: {verdict}")
            named_N, fields = view.state.dead.copy(), 0
            for slot, *row in view.database.execute(f"SELECT slot, {COLUMNS} FROM entries"):
                try:
                    metadata = read_metadata(row)
                except DamagedError as error:
                    wrong.append(str(error).removesuffix(f". {MEND}"))
                    continue
                fields += _sum_of(field_rows(metadata, slot))
                if not 0 <= slot < len(named_N) or named_N[slot]:
                    wrong.append(f"{row[1]}: names row {slot}, which is not its own")
                    continue
                named_N[slot] = True
                if zlib.crc32(stored_row(view.state.matrix, slot).data) != row[0] & 0xFFFFFFFF:
                    wrong.append(f"{row[1]}: the vector is torn")
            if not named_N.all():
                wrong.append(f"{self._store.path}: {np.count_nonzero(~named_N)} rows belong to no entry")
            if fields != _sum_of(view.database.execute("SELECT name, value, slot FROM fields")):
                wrong.append(f"{self._store.path}: filters see other metadata than the entries have")
        return wrong

    def close(self) -> None:
        self._store.close()

    @read_again
    def _is_small(self) -> bool:
        with self._store.reading() as view:
            return len(view.state.dead) <= CHECKED_WHOLE

    def _best(
        self, view: View, query_QD: NDArray[np.float32], k: int, allowed_N: NDArray[np.bool_] | None
    ) -> exactly.Candidates:
        """The k best living entries of each query, and those that equal the last of them."""
        dead_N = view.state.dead
        if dead_N.any():
            allowed_N = ~dead_N if allowed_N is None else allowed_N & ~dead_N
        return exactly.best(view.state.matrix[: len(dead_N)], query_QD, k, allowed_N)

    def _insert(
        self, database: sqlite3.Connection, entries: Sequence[Entry], vectors_ND: NDArray[np.float32]
    ) -> None:
        first, rows_NB = self._store.append(database, vectors_ND)
        for slot, (entry, row_B) in enumerate(zip(entries, rows_NB, strict=True), first):
            insert(database, entry, slot, row_B)

    def _compact_if_due(self, database: sqlite3.Connection) -> None:
        dead = database.execute("SELECT count(*) FROM dead").fetchone()[0]
        if dead >= COMPACT_AFTER and 2 * dead > read_state(database).slots:
            self._store.compact(database)


def _sum_of(rows: Iterable[tuple[str, object, int]]) -> int:
    """A number that is equal for equal rows in any order; 1, 1.0 and true are told apart."""
    return sum(hash((name, type(value), value, slot)) for name, value, slot in rows)


def matches(view: View, found: exactly.Candidates, queries: int, k: int) -> list[list[Match]]:
    """Slots as ids; among equal scores, the k that the order of ids says."""
    ids = _ids(view, found.slots)
    answer: list[list[Match]] = [[] for _ in range(queries)]
    for query, item_id, score in zip(found.queries.tolist(), ids, found.scores.tolist(), strict=True):
        answer[query].append(Match(item_id, score))
    for one in answer:
        one.sort(key=lambda match: (-match.score, match.item_id))
        del one[k:]
    return answer


def _sound_vectors(view: View, slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """[N, D] of some slots. Raises DamagedError where one is not as it was written."""
    found_ND = view.state.matrix[slots]
    for slot in slots.tolist():
        require_sound(view.row(slot), stored_row(view.state.matrix, slot))
    return found_ND


def _ids(view: View, slot_C: NDArray[np.int64]) -> list[str]:
    known = view.state.ids
    # All at once: to keep the order of use, as an LRU does, costs more at each hit than this does at times.
    if len(known) > IDS_KEPT:
        known.clear()
    found = []
    for slot in slot_C.tolist():
        item_id = known.get(slot)
        if item_id is None:
            # Once for each row that is found: neither it nor its vector changes in this generation.
            known[slot] = item_id = require_sound(view.row(slot), stored_row(view.state.matrix, slot))
        found.append(item_id)
    return found
