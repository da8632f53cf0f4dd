"""The contract of a store: entries with one vector each, searched by dot product.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dragoman.records import Entry
from dragoman.stores.filters import Filter


class Match(NamedTuple):
    """One answer of a search."""

    item_id: str
    score: float
    """Dot product of float32 unit vectors."""


class Store(ABC):
    """Entries with one unit vector each, searched by dot product.

    What `add`, `update` and `delete` returned from is durable: it survives a kill at any later point. Each of
    these calls is one transaction: a search meanwhile, in this process or another, sees all of it or nothing.
    One process writes at a time; any number reads, and sees what was written since without reopening.
    Methods may be called from several threads.

    A store is a module of this package with a frozen dataclass `Config` (its settings, all with defaults) and
    two functions:

    - `open_store(folder, config, width, name, make=True) -> Store` makes what is missing; without `make` it
      raises DamagedError, as an index that was filled would be found empty. `folder` is its own; `name` tells
      it from other indexes, which share the server of a store.
    - `drop_store(folder, config, name) -> None` removes all that the store keeps outside `folder`; the folder
      itself is removed by the caller. What is not there is passed over.

    Its docstring begins with what it is and, in a paragraph of its own, what it `Needs`: for the help and the
    docs. `checks` refuses what no store takes, `best` scores exactly, `filters.satisfies` filters and
    `as_json` writes entries; `exact.py` is the shortest example.
    """

    width: int
    """D."""

    @abstractmethod
    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        """Store new entries with their vectors [N, D]. Raises UserError where an id is there already, twice
        among `entries`, or malformed, and where a vector is not finite, not of unit length (1e-3) or not D
        wide; nothing is stored then."""

    @abstractmethod
    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        """Replace entries, and their vectors where given. Raises UserError where an id is not there."""

    @abstractmethod
    def delete(self, item_ids: Iterable[str]) -> int:
        """Remove entries; ids that are not there are passed over. Returns how many were removed."""

    @abstractmethod
    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        """The k best entries for each of the queries [Q, D] that pass the filter; fewer where there are
        fewer. Best first; equal scores in the order of their ids (code points)."""

    @abstractmethod
    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        """The entries of these ids, None where there is none."""

    @abstractmethod
    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """[N, D] of these ids. Raises KeyError where one is not there."""

    @abstractmethod
    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        """The first `limit` entries whose id is greater than `after`, by id: one page of a walk over all."""

    @abstractmethod
    def count(self, filter: Filter | None = None) -> int:
        """Entries that pass the filter."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that entries and vectors take on the disk, or 0 where it cannot be known."""

    def sample(self, count: int, filter: Filter | None = None) -> NDArray[np.float32]:
        """[N, D] vectors of at most so many entries that pass the filter: the first by id, unless a store can
        take them evenly from all. The same ones while nothing is written."""
        found = [entry.item_id for entry in self.scan(limit=count, filter=filter)]
        return self.vectors(found) if found else np.empty((0, self.width), np.float32)

    def build(self, queries: NDArray[np.float32] | None = None) -> None:
        """Make what was written ready for fast search, where a store does not do so at once; good after
        many writes, never needed. `queries` [Q, D] are typical ones, to measure recall with."""
        return

    def describe(self) -> Mapping[str, object]:
        """Parameters that were chosen, and such, for the index's manifest."""
        return {}

    def check(self) -> list[str]:
        """List what is damaged, one sentence each; nothing where all is as it was written.

        A server that keeps checksums of its own pages, as PostgreSQL and Qdrant do, has nothing to add.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. Calling it twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


STORES = __package__
"""`plugins.load(STORES, name, "store").open_store(folder, config, width, name)`."""
