"""A collection of Qdrant as a store.

The id of a point is made from the id of its entry. Points that `add` is still writing carry a mark in place
of `shown`, and no reader sees them; its last request shows them all.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from dragoman.records import Entry
from dragoman.stores.checks import (
    already_there,
    check_after,
    check_entries,
    checked_queries,
    checked_vectors,
    not_there,
)
from dragoman.stores.contract import Match, Store
from dragoman.stores.filters import Filter, satisfies
from dragoman.stores.qdrant.client import Client
from dragoman.stores.qdrant.config import Config
from dragoman.stores.qdrant.filters import is_exact
from dragoman.stores.qdrant.requests import ENTRY, ITEM, SHOWN, Requests, entry_at, item_at, requests
from dragoman.stores.servers import MEASURED, MEASURED_HITS, Candidate, measured, possible, rescored

WALKS = 8
"""Walks that are remembered; older ones are begun anew."""


class QdrantStore(Store):
    """One collection; each entry is a point."""

    def __init__(self, client: Client, config: Config, width: int, name: str, make: bool) -> None:
        self.width = width
        self._config = config
        self._place = {"place": client.place, "collection": name}
        self._server = Requests(client, config, width, name)
        self._server.prepare(make)
        self._writing = threading.Lock()
        self._clean = False
        self._walks: dict[tuple[str, str], list[str]] = {}
        self._measured: dict[str, object] = {}

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        check_entries(entries)
        vectors_ND = checked_vectors(vectors, entries, self.width)
        with self._changing():
            known = self._known(_ids(entries))
            if known:
                raise already_there(known)
            parts = requests(entries, self.width)
            # What one request holds is shown by it at once.
            mark = SHOWN if len(parts) == 1 else uuid.uuid4().hex
            for part in parts:
                self._server.put(entries[part], vectors_ND[part], mark)
            if mark != SHOWN:
                self._server.show(mark)

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        check_entries(entries)
        new_ND = None if vectors is None else checked_vectors(vectors, entries, self.width)
        with self._changing():
            known = set(self._known(_ids(entries)))
            missing = [entry.item_id for entry in entries if entry.item_id not in known]
            if missing:
                raise not_there(missing)
            for part in requests(entries, self.width):
                kept_ND = self.vectors(_ids(entries[part])) if new_ND is None else new_ND[part]
                self._server.put(entries[part], kept_ND, SHOWN)

    def delete(self, item_ids: Iterable[str]) -> int:
        with self._changing():
            known = self._known(possible(dict.fromkeys(item_ids)))
            self._server.remove(known)
        return len(known)

    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        exact = not self._config.approximate
        return [self._nearest(query_D, k, filter, exact) for query_D in checked_queries(vectors, self.width)]

    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        records = self._server.points(possible(item_ids), [ITEM, ENTRY])
        found = {entry.item_id: entry for entry in map(entry_at, records)}
        return [found.get(item_id) for item_id in item_ids]

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        records = self._server.points(possible(item_ids), vectors=True)
        found = {item_at(record): np.asarray(record.vector, np.float32) for record in records}
        return np.array([found[item_id] for item_id in item_ids], np.float32).reshape(-1, self.width)

    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        """Page through all, but a walk passes over what other processes add after it began: Qdrant
        knows no order of ids, so that the first page collects them all, and later ones go on from there."""
        check_after(after)
        # Equal filters may differ: x=1 and x=true are equal to Python.
        key = repr(filter)
        left = self._walks.pop((key, after), None)
        if left is None:
            every = map(item_at, self._server.scroll(filter))
            left = sorted((item_id for item_id in every if item_id > after), reverse=True)
        page: list[Entry] = []
        while left and len(page) < limit:
            ids = [left.pop() for _ in range(min(limit - len(page), len(left)))]
            page += [entry for entry in self.get(ids) if entry is not None and satisfies(entry, filter)]
        if left and page:
            while len(self._walks) >= WALKS:
                self._walks.pop(next(iter(self._walks)), None)
            self._walks[key, page[-1].item_id] = left
        return page

    def count(self, filter: Filter | None = None) -> int:
        return self._server.count(filter)

    def size(self) -> int:
        return 0

    def build(self, queries: NDArray[np.float32] | None = None) -> None:
        """Measure the recall of approximate search; the server works on the graph by itself."""
        if not self._config.approximate:
            return
        if queries is None:
            some_QD = self.vectors(_ids(self.scan(limit=MEASURED)))
        else:
            some_QD = checked_queries(queries, self.width)[:MEASURED]
        self._measured = measured(
            [self._nearest(query_D, MEASURED_HITS, None, exact=False) for query_D in some_QD],
            [self._nearest(query_D, MEASURED_HITS, None, exact=True) for query_D in some_QD],
            "stored vectors" if queries is None else "queries",
        )

    def describe(self) -> Mapping[str, object]:
        config = self._config
        found: dict[str, object] = {"search": "exact"}
        if config.approximate:
            graph = {
                name: getattr(config, name) for name in ("m", "ef_construction", "ef_search", "quantize")
            }
            found = {"search": "approximate", **graph, **self._measured}
        return {**found, **self._place, "shards": config.shards, "replicas": config.replicas}

    def close(self) -> None:
        self._server.close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time; the first, and each after one that failed, removes what was never shown."""
        with self._writing:
            if not self._clean:
                self._server.remove_hidden()
            self._clean = False
            try:
                yield
                self._clean = True
            finally:
                self._walks.clear()

    def _known(self, item_ids: Sequence[str]) -> list[str]:
        return [item_at(record) for record in self._server.points(item_ids)]

    def _nearest(
        self, query_D: NDArray[np.float32], k: int, filter: Filter | None, exact: bool
    ) -> list[Match]:
        sure = is_exact(filter)

        def fetch(count: int) -> list[Candidate]:
            asked = count
            while True:
                points = self._server.nearest(query_D, asked, filter, exact)
                found = [
                    Candidate(item_at(point), point.score, np.asarray(point.vector, np.float32))
                    for point in points
                    if sure or satisfies(entry_at(point), filter)
                ]
                if len(found) >= count or len(points) < asked:
                    return found[:count]
                asked *= 4

        return rescored(query_D, k, fetch)


def _ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.item_id for entry in entries]
