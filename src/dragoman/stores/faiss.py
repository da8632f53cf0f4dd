"""Approximate search of a folder by faiss: for more pictures, or less time a query, on one computer.

Needs `pip install 'dragoman[faiss]'`.

Entries and vectors are kept as by `exact`. Below some thousand entries search is exact. From there on, the
entries that existed when the approximate index was built are searched in it, later ones exactly; the
candidates are scored exactly, so that scores and the order of what is found are those of exact search. The
number of lists that are searched is what the wanted recall takes on the vectors of this index.

Q queries, D width, N slots.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman import forks
from dragoman.errors import UserError
from dragoman.folders import remove_torn, sole_writer
from dragoman.records import Entry
from dragoman.stores import best as exactly
from dragoman.stores.checks import checked_queries
from dragoman.stores.contract import Store
from dragoman.stores.embedded import ivf as ivf_index
from dragoman.stores.embedded.connections import read_again
from dragoman.stores.embedded.rows import Precision, check_precision
from dragoman.stores.embedded.store import EmbeddedStore
from dragoman.stores.embedded.transactions import Snapshot, View

log = logging.getLogger(__name__)

LARGEST_K = 100
"""More hits are found exactly: recall is measured for 10."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of approximate search."""

    least: int = 20_000
    """Entries from which search is approximate; a filter that fewer pass is searched exactly, too."""
    recall: float = 0.98
    """Share of the 10 best to find, on average; 1 searches all lists where nothing less finds all."""
    lists: int = 0
    """Lists of the index; 0 chooses twice the square root of the number of entries."""
    candidates: int = 5
    """Entries that are scored exactly, for each hit."""
    wait: float = 10.0
    """Seconds that a write waits for one of another process."""
    precision: Precision = "float32"
    """Numbers of a stored vector: `float32`, or `float16` or `int8` for a half or a quarter of the place."""

    def __post_init__(self) -> None:
        for name, low in (("least", 1), ("lists", 0), ("candidates", 1), ("wait", 0)):
            if not getattr(self, name) >= low:
                raise UserError(f"{name} must be {low} or more, got {getattr(self, name)}")
        if not 0 < self.recall <= 1:
            raise UserError(f"recall must lie in (0, 1], got {self.recall}")
        check_precision(self.precision)


def open_store(folder: Path, config: Config, width: int, name: str, make: bool = True) -> Store:
    """Open the index in a folder of its own, or `make` one; another index has another `name`.

    Raises MissingExtraError without faiss.
    """
    ivf_index.import_faiss()
    return Approximate(folder, config, width, name, make)


def drop_store(folder: Path, config: Config, name: str) -> None:
    """Nothing lies outside the folder."""


class Approximate(EmbeddedStore):
    """The embedded index, searched by faiss where it is large enough."""

    def __init__(self, folder: Path, config: Config, width: int, name: str, make: bool) -> None:
        super().__init__(folder, width, config.wait, name, make, config.precision)
        self.config = config
        self.renew_in_child()
        forks.watch(self)
        self._loaded: tuple[object, ivf_index.Ivf | None] = (None, None)

    def before_fork(self) -> None:
        """Do nothing."""

    def renew_in_child(self) -> None:
        """Make a lock that nobody holds."""
        self._loading = threading.Lock()

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        super().add(entries, vectors)
        self._keep_up()

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        super().update(entries, vectors)
        self._keep_up()

    def delete(self, item_ids: Iterable[str]) -> int:
        removed = super().delete(item_ids)
        self._keep_up()
        return removed

    def build(self, queries: NDArray[np.float32] | None = None) -> None:
        """Take up what was written since, and measure recall; writing does so whenever the index has grown by
        half. Raises UserError where another process is at it."""
        given = None if queries is None else checked_queries(queries, self.width)
        with self._store.reading() as view:
            state = view.state
        if np.count_nonzero(~state.dead) < self.config.least:
            return
        with sole_writer(self._store.folder / "building"):
            remove_torn(self._store.folder)
            config = self.config
            ivf_index.build(
                self._store.folder,
                state,
                lists=config.lists,
                candidates=config.candidates,
                recall=config.recall,
                queries=given,
            )

    @read_again
    def describe(self) -> Mapping[str, object]:
        with self._store.reading() as view:
            ivf = self._current(view.state)
            entries = int(np.count_nonzero(~view.state.dead))
            later = 0 if ivf is None else int(np.count_nonzero(~view.state.dead[ivf.description.covered :]))
        if ivf is None:
            return {"search": "exact", "entries": entries}
        return {
            "search": "approximate",
            "index": "IVF-SQ8",
            "lists": ivf.description.lists,
            "probes": ivf.description.probes,
            "recall@10": ivf.description.recall,
            "measured_with": ivf.description.measured_with,
            "entries": entries,
            "searched_exactly": later,
        }

    def _best(
        self, view: View, query_QD: NDArray[np.float32], k: int, allowed_N: NDArray[np.bool_] | None
    ) -> exactly.Candidates:
        state = view.state
        ivf = self._current(state)
        if allowed_N is not None or state.dead.any():
            allowed_N = ~state.dead if allowed_N is None else allowed_N & ~state.dead
        passing = len(state.dead) if allowed_N is None else int(np.count_nonzero(allowed_N))
        if ivf is None or passing < self.config.least or k > LARGEST_K:
            return super()._best(view, query_QD, k, allowed_N)
        # The fewer pass, the farther one must look for as many of them.
        probes = round(ivf.description.probes * len(state.dead) / passing)
        found = _merged(
            ivf.search(query_QD, k, probes, allowed_N),
            _later(state, ivf.description.covered, query_QD, k, allowed_N),
        )
        # Lists that hold too few which pass: all are scored rather than fewer than k returned.
        if np.bincount(found.queries, minlength=len(query_QD)).min() < k:
            return super()._best(view, query_QD, k, allowed_N)
        return exactly.best_of(state.matrix, query_QD, k, found)

    def _current(self, state: Snapshot) -> ivf_index.Ivf | None:
        """The approximate index that fits a state."""
        try:
            found = (self._store.folder / ivf_index.DESCRIPTION).stat()
            # The description is replaced by a rename, so a new one has another inode even in the same tick.
            mark: object = (found.st_ino, found.st_mtime_ns)
        except FileNotFoundError:
            return None
        known, ivf = self._loaded
        if known != mark:
            with self._loading:
                ivf = ivf_index.load(self._store.folder)
                self._loaded = (mark, ivf)
        return ivf if ivf is not None and ivf.description.matches(state) else None

    def _keep_up(self) -> None:
        """Build where the part that is searched exactly has become large."""
        with self._store.reading() as view:
            state = view.state
            ivf = self._current(state)
        covered = 0 if ivf is None else ivf.description.covered
        if len(state.dead) - covered >= max(self.config.least, covered / 2):
            try:
                self.build()
            except (UserError, OSError) as error:
                # What was written is safe and is found exactly; another process may be building.
                log.warning("The approximate index was not brought up to date: %s", error)


def _later(
    state: Snapshot,
    covered: int,
    query_QD: NDArray[np.float32],
    k: int,
    allowed_N: NDArray[np.bool_] | None,
) -> exactly.Candidates:
    """Candidates among the rows that came after the index was built."""
    rows_ND = state.matrix[covered : len(state.dead)]
    found = exactly.likely(rows_ND, query_QD, k, None if allowed_N is None else allowed_N[covered:])
    return found._replace(slots=found.slots + covered)


def _merged(one: exactly.Candidates, other: exactly.Candidates) -> exactly.Candidates:
    return exactly.Candidates(
        np.concatenate([one.queries, other.queries]),
        np.concatenate([one.slots, other.slots]),
        np.concatenate([one.scores, other.scores]),
    )
