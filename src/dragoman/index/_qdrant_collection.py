"""A collection of Qdrant as a backend.

The id of a point is made from the id of its entry. Points that `add` is still writing carry a mark in place
of `shown`, and no reader sees them; its last request shows them all.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from dragoman.errors import UserError
from dragoman.index._backend import Backend, Match
from dragoman.index._checks import (
    already_there,
    check_after,
    check_entries,
    checked_queries,
    checked_vectors,
    not_there,
)
from dragoman.index._filters import Filter, satisfies
from dragoman.index._qdrant_client import Client
from dragoman.index._qdrant_filters import NUMBERS, TOKENS, condition_of, is_exact, numbers_of, tokens_of
from dragoman.index._servers import Found, best, entry_of, possible, record_of
from dragoman.records import Entry

if TYPE_CHECKING:
    from dragoman.index.qdrant import Config

REQUEST_BYTES = 8_000_000
"""Of a request, about; servers take 32 MB."""
PAGE = 1000
"""Points of an answer without vectors."""
WALKS = 8
"""Walks that are remembered; older ones are begun anew."""
ITEM, ENTRY, STATE, SHOWN = "item_id", "entry", "state", "shown"

_SPACE = uuid.UUID("5d1c4d6e-6a0c-5a0b-9d1f-6c3f0c7b2a11")
_IS_SHOWN = models.FieldCondition(key=STATE, match=models.MatchValue(value=SHOWN))
_INDEXED = {
    STATE: models.PayloadSchemaType.KEYWORD,
    TOKENS: models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].field": models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].value": models.PayloadSchemaType.FLOAT,
}


class Collection(Backend):
    """One collection; payload: id, entry as JSON text, state, and what filters compare."""

    def __init__(self, client: Client, config: Config, width: int, name: str) -> None:
        self.width = width
        self._client = client
        self._config = config
        self._name = name
        # A point takes about 22 characters for each number of its vector, and some thousand for its entry.
        self._batch = max(1, min(PAGE, REQUEST_BYTES // (22 * width + 2000)))
        self._writing = threading.Lock()
        self._clean = False
        self._walks: dict[tuple[str, str], list[str]] = {}
        several = config.replicas > 1
        self._read: dict[str, Any] = {"consistency": models.ReadConsistencyType.MAJORITY} if several else {}
        self._write: dict[str, Any] = {"ordering": models.WriteOrdering.STRONG} if several else {}
        quantized = models.QuantizationSearchParams(ignore=not config.approximate, rescore=True)
        how = models.SearchParams(
            exact=not config.approximate, hnsw_ef=config.ef_search, quantization=quantized
        )
        # The library's own store is always exact, and warns of settings.
        self._how = None if client.local else how

    def prepare(self) -> None:
        """Make the collection and its indexes where they are missing; where none is, a key that only reads
        will do. Raises UserError where the collection holds vectors of another width.
        """
        with self._client.calling() as client:
            if not client.collection_exists(self._name):
                client.create_collection(self._name, **_settings(self._config, self.width))
            info = client.get_collection(self._name)
            found = info.config.params.vectors
            if not isinstance(found, models.VectorParams) or found.size != self.width:
                raise UserError(
                    f"The collection {self._name} holds other vectors ({found}) than these, which are "
                    f"{self.width} wide. Write to another index folder."
                )
            for field, kind in _INDEXED.items():
                if not self._client.local and field not in info.payload_schema:
                    client.create_payload_index(self._name, field, kind, **self._write)

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        check_entries(entries)
        vectors_ND = checked_vectors(vectors, entries, self.width)
        with self._changing():
            known = [record.payload[ITEM] for record in self._points(_ids(entries)) if record.payload]
            if known:
                raise already_there(known)
            # What one request holds is shown by it at once.
            mark = SHOWN if len(entries) <= self._batch else uuid.uuid4().hex
            self._put(entries, vectors_ND, mark)
            if mark != SHOWN:
                marked = models.FieldCondition(key=STATE, match=models.MatchValue(value=mark))
                with self._client.calling() as client:
                    client.set_payload(
                        self._name, {STATE: SHOWN}, models.Filter(must=[marked]), wait=True, **self._write
                    )

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        check_entries(entries)
        new_ND = None if vectors is None else checked_vectors(vectors, entries, self.width)
        with self._changing():
            known = {record.payload[ITEM] for record in self._points(_ids(entries)) if record.payload}
            missing = [entry.item_id for entry in entries if entry.item_id not in known]
            if missing:
                raise not_there(missing)
            for part in _parts(entries, self._batch):
                kept = self.vectors(_ids(entries[part])) if new_ND is None else new_ND[part]
                self._put(entries[part], kept, SHOWN)

    def delete(self, item_ids: Iterable[str]) -> int:
        with self._changing():
            points = [record.id for record in self._points(possible(dict.fromkeys(item_ids)))]
            for part in _parts(points, 10 * PAGE):
                with self._client.calling() as client:
                    selected = models.PointIdsList(points=points[part])
                    client.delete(self._name, selected, wait=True, **self._write)
        return len(points)

    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        return [self._nearest(query_D, k, filter) for query_D in checked_queries(vectors, self.width)]

    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        found = {
            entry.item_id: entry for entry in map(_entry, self._points(possible(item_ids), [ITEM, ENTRY]))
        }
        return [found.get(item_id) for item_id in item_ids]

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        records = self._points(possible(item_ids), vectors=True)
        found = {_item(record): np.asarray(record.vector, np.float32) for record in records}
        vectors_ND = np.empty((len(item_ids), self.width), np.float32)
        for place, item_id in enumerate(item_ids):
            vectors_ND[place] = found[item_id]
        return vectors_ND

    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        """As of every backend, but that a walk passes over what other processes add after it began: Qdrant
        knows no order of ids, so that the first page collects them all, and later ones go on from there."""
        check_after(after)
        # Equal filters may differ: x=1 and x=true are equal to Python.
        key = repr(filter)
        left = self._walks.pop((key, after), None)
        if left is None:
            every = (_item(record) for record in self._scroll(filter, [ITEM]))
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
        if not is_exact(filter):
            return sum(1 for _ in self._scroll(filter, [ITEM]))
        with self._client.calling() as client:
            return client.count(self._name, _shown(filter), exact=True).count

    def size(self) -> int:
        return 0

    def describe(self) -> Mapping[str, object]:
        config = self._config
        found: dict[str, object] = {"place": self._client.place, "collection": self._name}
        if config.approximate:
            found["graph"] = {name: getattr(config, name) for name in ("m", "ef_construction", "ef_search")}
        return {**found, "shards": config.shards, "replicas": config.replicas, "quantize": config.quantize}

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time; the first, and each after one that failed, removes what was never shown."""
        with self._writing:
            if not self._clean:
                with self._client.calling() as client:
                    hidden = models.FilterSelector(filter=models.Filter(must_not=[_IS_SHOWN]))
                    client.delete(self._name, hidden, wait=True, **self._write)
            self._clean = False
            try:
                yield
                self._clean = True
            finally:
                self._walks.clear()

    def _put(self, entries: Sequence[Entry], vectors_ND: NDArray[np.float32], state: str) -> None:
        for part in _parts(entries, self._batch):
            points = [
                models.PointStruct(
                    id=_point(entry.item_id), vector=vector_D.tolist(), payload=_payload(entry, state)
                )
                for entry, vector_D in zip(entries[part], vectors_ND[part], strict=True)
            ]
            with self._client.calling() as client:
                client.upsert(self._name, points, wait=True, **self._write)

    def _nearest(self, query_D: NDArray[np.float32], k: int, filter: Filter | None) -> list[Match]:
        exact = is_exact(filter)

        def fetch(count: int) -> list[Found]:
            asked = count
            while True:
                points = self._near(query_D, asked, filter, [ITEM] if exact else [ITEM, ENTRY])
                found = [
                    Found(_item(point), point.score, np.asarray(point.vector, np.float32))
                    for point in points
                    if exact or satisfies(_entry(point), filter)
                ]
                if len(found) >= count or len(points) < asked:
                    return found[:count]
                asked *= 4

        return best(query_D, k, fetch)

    def _near(
        self, query_D: NDArray[np.float32], count: int, filter: Filter | None, payload: list[str]
    ) -> list[models.ScoredPoint]:
        with self._client.calling() as client:
            return client.query_points(
                self._name,
                query=query_D.tolist(),
                query_filter=_shown(filter),
                search_params=self._how,
                limit=count,
                with_payload=payload,
                with_vectors=True,
                **self._read,
            ).points

    def _points(
        self, item_ids: Sequence[str], payload: Sequence[str] = (ITEM,), vectors: bool = False
    ) -> list[models.Record]:
        """The points of these ids that are shown, in any order."""
        found: list[models.Record] = []
        for part in _parts(item_ids, self._batch if vectors else PAGE):
            with self._client.calling() as client:
                found += client.retrieve(
                    self._name,
                    [_point(item_id) for item_id in item_ids[part]],
                    with_payload=[STATE, *payload],
                    with_vectors=vectors,
                    **self._read,
                )
        return [record for record in found if record.payload and record.payload[STATE] == SHOWN]

    def _scroll(self, filter: Filter | None, payload: Sequence[str]) -> Iterator[models.Record]:
        exact, offset = is_exact(filter), None
        while True:
            with self._client.calling() as client:
                records, offset = client.scroll(
                    self._name,
                    _shown(filter),
                    limit=PAGE,
                    offset=offset,
                    with_payload=list(payload) if exact else [ITEM, ENTRY],
                    **self._read,
                )
            yield from (record for record in records if exact or satisfies(_entry(record), filter))
            if offset is None:
                return


def _settings(config: Config, width: int) -> dict[str, Any]:
    """Of a new collection."""
    scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    return {
        # Vectors are stored as they are: by cosine, the server would divide them by their norm once more.
        "vectors_config": models.VectorParams(
            size=width, distance=models.Distance.DOT, on_disk=config.quantize or None
        ),
        "hnsw_config": models.HnswConfigDiff(m=config.m, ef_construct=config.ef_construction),
        "quantization_config": models.ScalarQuantization(scalar=scalar) if config.quantize else None,
        "shard_number": config.shards,
        "replication_factor": config.replicas,
        "write_consistency_factor": config.replicas // 2 + 1,
    }


def _payload(entry: Entry, state: str) -> dict[str, Any]:
    # As text, since the server reads numbers its own way: 1e300 and 2**60 come back as others.
    return {
        ITEM: entry.item_id,
        ENTRY: json.dumps(record_of(entry)),
        STATE: state,
        TOKENS: tokens_of(entry),
        NUMBERS: numbers_of(entry),
    }


def _shown(filter: Filter | None) -> models.Filter:
    return models.Filter(must=[_IS_SHOWN, condition_of(filter)])


def _point(item_id: str) -> str:
    return str(uuid.uuid5(_SPACE, item_id))


def _item(point: models.Record | models.ScoredPoint) -> str:
    assert point.payload is not None
    return str(point.payload[ITEM])


def _entry(point: models.Record | models.ScoredPoint) -> Entry:
    assert point.payload is not None
    return entry_of(_item(point), json.loads(point.payload[ENTRY]))


def _ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.item_id for entry in entries]


def _parts(every: Sequence[object], size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, len(every), size))
