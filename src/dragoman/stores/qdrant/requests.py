"""The requests on one collection of Qdrant.

Readers see points in the state `shown` only.

D width of the vectors.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores.as_json import entry_of, record_of
from dragoman.stores.filters import Filter, satisfies
from dragoman.stores.qdrant.client import Client
from dragoman.stores.qdrant.config import Config
from dragoman.stores.qdrant.filters import NUMBERS, TOKENS, condition_of, is_exact, numbers_of, tokens_of
from dragoman.stores.servers import gone

REQUEST_BYTES = 8_000_000
"""Size of a request, about; servers take 32 MB."""
PAGE = 1000
"""Points of a request, or of an answer, at most."""
ITEM, ENTRY, STATE, SHOWN = "item_id", "entry", "state", "shown"
INDEXED = {
    STATE: models.PayloadSchemaType.KEYWORD,
    TOKENS: models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].field": models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].value": models.PayloadSchemaType.FLOAT,
}
"""Fields of the payload that filters look up."""

# Ids of points are made from ids of entries, so that writing one twice replaces it. Never change this.
_SPACE = uuid.UUID("5d1c4d6e-6a0c-5a0b-9d1f-6c3f0c7b2a11")


def payload_of(entry: Entry, state: str) -> dict[str, Any]:
    """The entry as JSON text, its state, and what filters compare."""
    return {
        ITEM: entry.item_id,
        # As text, since the server reads numbers its own way: 1e300 and 2**60 come back as others.
        ENTRY: json.dumps(record_of(entry), ensure_ascii=False),
        STATE: state,
        TOKENS: tokens_of(entry),
        NUMBERS: numbers_of(entry),
    }


def point_id(item_id: str) -> str:
    """Qdrant takes numbers and UUIDs only."""
    return str(uuid.uuid5(_SPACE, item_id))


def item_at(point: models.Record | models.ScoredPoint) -> str:
    """The id of a point's entry."""
    assert point.payload is not None
    return str(point.payload[ITEM])


def entry_at(point: models.Record | models.ScoredPoint) -> Entry:
    """The entry of a point that came with it."""
    assert point.payload is not None
    return entry_of(item_at(point), json.loads(point.payload[ENTRY]))


def requests(entries: Sequence[Entry], width: int) -> list[slice]:
    """Cuts entries into parts that are one request each."""
    cuts, size = [0], 0
    for place, entry in enumerate(entries):
        # Numbers of a vector have up to 22 characters, letters up to four bytes; metadata goes three times.
        mine = 22 * width + 1000 + 12 * len(repr(entry))
        if place - cuts[-1] == PAGE or (size and size + mine > REQUEST_BYTES):
            cuts.append(place)
            size = 0
        size += mine
    return [
        slice(start, end) for start, end in zip(cuts, [*cuts[1:], len(entries)], strict=True) if end > start
    ]


def pages(count: int, size: int = PAGE) -> Iterator[slice]:
    """Cuts `count` ids into pages."""
    return (slice(start, start + size) for start in range(0, count, size))


def _in_state(state: str) -> models.FieldCondition:
    return models.FieldCondition(key=STATE, match=models.MatchValue(value=state))


def _shown(filter: Filter | None) -> models.Filter:
    return models.Filter(must=[_in_state(SHOWN), condition_of(filter)])


class Requests:
    """Requests to the server; each method is one, or one a page."""

    def __init__(self, client: Client, config: Config, width: int, name: str) -> None:
        self._client = client
        self._config = config
        self._width = width
        self._name = name
        several = config.replicas > 1
        self._read: dict[str, Any] = {"consistency": models.ReadConsistencyType.MAJORITY} if several else {}
        self._write: dict[str, Any] = {"ordering": models.WriteOrdering.STRONG} if several else {}

    def prepare(self, make: bool) -> None:
        """Make the collection and its indexes where they are missing; where none is, a key that only reads
        will do. Raises UserError where the collection holds vectors of another width, and DamagedError where
        it is missing and not to be made."""
        with self._client.calling() as client:
            if not client.collection_exists(self._name):
                if not make:
                    raise gone(f"the collection {self._name}")
                client.create_collection(self._name, **_settings(self._config, self._width))
            info = client.get_collection(self._name)
            found = info.config.params.vectors
            if not isinstance(found, models.VectorParams) or found.size != self._width:
                raise UserError(
                    f"The collection {self._name} holds other vectors ({found}) than these, which are "
                    f"{self._width} wide. Write to another index folder."
                )
            for field, kind in INDEXED.items():
                if not self._client.local and field not in info.payload_schema:
                    client.create_payload_index(self._name, field, kind, **self._write)

    def put(self, entries: Sequence[Entry], vectors_ND: NDArray[np.float32], state: str) -> None:
        """Write points, in place of those that have their ids."""
        points = [
            models.PointStruct(
                id=point_id(entry.item_id), vector=vector_D.tolist(), payload=payload_of(entry, state)
            )
            for entry, vector_D in zip(entries, vectors_ND, strict=True)
        ]
        with self._client.calling() as client:
            # wait: otherwise the answer comes when the change is queued, and a search may not see it yet.
            client.upsert(self._name, points, wait=True, **self._write)

    def show(self, state: str) -> None:
        """Let readers see the points of a state."""
        chosen = models.Filter(must=[_in_state(state)])
        with self._client.calling() as client:
            client.set_payload(self._name, {STATE: SHOWN}, chosen, wait=True, **self._write)

    def remove_hidden(self) -> None:
        """Remove what no reader sees."""
        hidden = models.FilterSelector(filter=models.Filter(must_not=[_in_state(SHOWN)]))
        with self._client.calling() as client:
            client.delete(self._name, hidden, wait=True, **self._write)

    def remove(self, item_ids: Sequence[str]) -> None:
        """Remove the points of these ids."""
        for part in pages(len(item_ids)):
            points = models.PointIdsList(points=[point_id(item_id) for item_id in item_ids[part]])
            with self._client.calling() as client:
                client.delete(self._name, points, wait=True, **self._write)

    def points(
        self, item_ids: Sequence[str], payload: Sequence[str] = (ITEM,), vectors: bool = False
    ) -> list[models.Record]:
        """The points of these ids, in any order."""
        found: list[models.Record] = []
        for part in pages(len(item_ids), PAGE // 10 if vectors else PAGE):
            with self._client.calling() as client:
                found += client.retrieve(
                    self._name,
                    [point_id(item_id) for item_id in item_ids[part]],
                    with_payload=[STATE, *payload],
                    with_vectors=vectors,
                    **self._read,
                )
        return [record for record in found if record.payload and record.payload[STATE] == SHOWN]

    def nearest(
        self, query_D: NDArray[np.float32], count: int, filter: Filter | None, exact: bool
    ) -> list[models.ScoredPoint]:
        """The best points that pass the filter, or where it `is_exact`, its condition; with their vectors."""
        quantized = models.QuantizationSearchParams(ignore=exact, rescore=True)
        how = models.SearchParams(exact=exact, hnsw_ef=self._config.ef_search, quantization=quantized)
        with self._client.calling() as client:
            return client.query_points(
                self._name,
                query=query_D.tolist(),
                query_filter=_shown(filter),
                # The library's own store is always exact, and warns of settings.
                search_params=None if self._client.local else how,
                limit=count,
                with_payload=_wanted(filter),
                with_vectors=True,
                **self._read,
            ).points

    def scroll(self, filter: Filter | None) -> Iterator[models.Record]:
        """All points that pass, in no order."""
        exact, offset = is_exact(filter), None
        while True:
            with self._client.calling() as client:
                records, offset = client.scroll(
                    self._name,
                    _shown(filter),
                    limit=PAGE,
                    offset=offset,
                    with_payload=_wanted(filter),
                    **self._read,
                )
            yield from (record for record in records if exact or satisfies(entry_at(record), filter))
            if offset is None:
                return

    def count(self, filter: Filter | None) -> int:
        """Points that pass."""
        if not is_exact(filter):
            return sum(1 for _ in self.scroll(filter))
        with self._client.calling() as client:
            return client.count(self._name, _shown(filter), exact=True).count

    def close(self) -> None:
        self._client.close()


def _wanted(filter: Filter | None) -> list[str]:
    """The payload that comes with points: the entry, where the filter is left to `satisfies`."""
    return [ITEM] if is_exact(filter) else [ITEM, ENTRY]


def _settings(config: Config, width: int) -> dict[str, Any]:
    """Settings of a new collection."""
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
