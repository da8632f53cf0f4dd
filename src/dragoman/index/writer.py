"""Entries on their way into a backend: gathered for some seconds, then stored in one transaction."""

from __future__ import annotations

from time import monotonic

import numpy as np
from numpy.typing import NDArray

from dragoman.records import Entry
from dragoman.stores import Store

SECONDS = 5.0
"""What a kill can cost."""
ENTRIES = 1000


class Writer:
    """Stores new, changed and reworded entries. Call `flush` at the end."""

    def __init__(self, backend: Store) -> None:
        self.backend = backend
        self._new: dict[str, tuple[Entry, NDArray[np.float32]]] = {}
        self._changed: dict[str, tuple[Entry, NDArray[np.float32]]] = {}
        self._reworded: dict[str, Entry] = {}
        self._since = monotonic()

    def put(self, entry: Entry, vector_J: NDArray[np.float32], *, new: bool) -> None:
        """An entry with its vector; `new` where the index has none of its id."""
        (self._new if new else self._changed)[entry.item_id] = (entry, vector_J)
        self._flush_if_due()

    def reword(self, entry: Entry) -> None:
        """An entry that keeps its vector."""
        self._reworded[entry.item_id] = entry
        self._flush_if_due()

    def vector(self, item_id: str) -> NDArray[np.float32]:
        """[J] of an entry that was put or is in the index."""
        for waiting in (self._new, self._changed):
            if item_id in waiting:
                return waiting[item_id][1]
        found: NDArray[np.float32] = self.backend.vectors([item_id])[0]
        return found

    def flush(self) -> None:
        """Store what waits."""
        for waiting, store in ((self._new, self.backend.add), (self._changed, self.backend.update)):
            if waiting:
                entries, vectors = zip(*waiting.values(), strict=True)
                store(entries, np.stack(vectors))
        if self._reworded:
            self.backend.update(list(self._reworded.values()))
        self._new, self._changed, self._reworded = {}, {}, {}
        self._since = monotonic()

    def _flush_if_due(self) -> None:
        waiting = len(self._new) + len(self._changed) + len(self._reworded)
        if waiting >= ENTRIES or monotonic() - self._since >= SECONDS:
            self.flush()
