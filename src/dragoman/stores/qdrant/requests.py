"""The requests on one collection of Qdrant.

Readers see points in the state `shown` only.

D width of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores.filters import Filter, satisfies
from dragoman.stores.qdrant.client import Client
from dragoman.stores.qdrant.filters import condition_of, is_exact
from dragoman.stores.qdrant.points import (
    ENTRY,
    INDEXED,
    ITEM,
    PAGE,
    SHOWN,
    STATE,
    entry_at,
    pages,
    payload_of,
    point_id,
)

if TYPE_CHECKING:
    from dragoman.stores.qdrant import Config


def _in_state(state: str) -> models.FieldCondition:
    return models.FieldCondition(key=STATE, match=models.MatchValue(value=state))


def _shown(filter: Filter | None) -> models.Filter:
    return models.Filter(must=[_in_state(SHOWN), condition_of(filter)])


class Requests:
    """What is asked of the server; each method is one request, or one a page."""

    def __init__(self, client: Client, config: Config, width: int, name: str) -> None:
        self._client = client
        self._config = config
        self._width = width
        self._name = name
        several = config.replicas > 1
        self._read: dict[str, Any] = {"consistency": models.ReadConsistencyType.MAJORITY} if several else {}
        self._write: dict[str, Any] = {"ordering": models.WriteOrdering.STRONG} if several else {}

    def prepare(self) -> None:
        """Make the collection and its indexes where they are missing; where none is, a key that only reads
        will do. Raises UserError where the collection holds vectors of another width."""
        with self._client.calling() as client:
            if not client.collection_exists(self._name):
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
