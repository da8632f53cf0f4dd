"""Entries as points of Qdrant: id, payload, and back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from dragoman.records import Entry
from dragoman.stores.qdrant.filters import NUMBERS, TOKENS, numbers_of, tokens_of
from dragoman.stores.servers import entry_of, record_of

REQUEST_BYTES = 8_000_000
"""Of a request, about; servers take 32 MB."""
PAGE = 1000
"""Points of a request, or of an answer, at most."""
ITEM, ENTRY, STATE, SHOWN = "item_id", "entry", "state", "shown"
INDEXED = {
    STATE: models.PayloadSchemaType.KEYWORD,
    TOKENS: models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].field": models.PayloadSchemaType.KEYWORD,
    f"{NUMBERS}[].value": models.PayloadSchemaType.FLOAT,
}
"""What filters look up in the payload."""

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
