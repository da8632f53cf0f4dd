"""Entries, vectors, and the slow obvious answers that indexes are measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dragoman.records import Entry
from dragoman.stores import Filter
from dragoman.stores.filters import satisfies

WIDTH = 16
PLACES = ("Porto", "São Paulo", "Vigo", "上海", "القاهرة")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def draw_vectors(count: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    """Unit vectors [count, width]."""
    return unit(np.random.default_rng(seed).standard_normal((count, width)))


def make_entries(count: int, prefix: str = "photo") -> list[Entry]:
    """Entries with metadata of every kind; their order is not that of their ids."""
    return [make_entry(f"{prefix}-{(i * 7919) % 100_003:06}", i) for i in range(count)]


def make_entry(item_id: str, number: int) -> Entry:
    metadata: dict[str, Any] = {"year": 2000 + number % 20, "place": PLACES[number % 5]}
    if number % 3:
        metadata["tag"] = ("night", "rain", 7, True)[: 1 + number % 4]
    if number % 4 == 0:
        metadata["flag"] = number % 8 == 0
    if number % 5 == 0:
        metadata["mixed"] = (1, 1.0, True, "1", 0.5, "true")[number % 6]
    if number % 13 == 0:
        said = {"gl": f"text {number}\nin lines", "en": "a translation"}
        more = {"gl": ("said otherwise",)} if number % 2 else {}
        machine = frozenset({"en"})
        return Entry(
            item_id=item_id,
            kind="text",
            lang="gl",
            metadata=metadata,
            captions=said,
            more_captions=more,
            machine=machine,
        )
    return Entry(
        item_id=item_id,
        kind="video" if number % 7 == 0 else "image",
        path=None if number % 11 == 0 else f"photos/{item_id}.jpg",
        metadata=metadata,
        captions={"en": f"picture {number}", "ar": "صورة"} if number % 2 else {},
        source=f"{number:08x}" if number % 2 else "",
    )


class Oracle:
    """An index as a dictionary, which answers by looking at everything."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.vectors: dict[str, np.ndarray] = {}

    def put(self, entries: Sequence[Entry], vectors: np.ndarray | None = None) -> None:
        for i, entry in enumerate(entries):
            self.entries[entry.item_id] = entry
            if vectors is not None:
                self.vectors[entry.item_id] = vectors[i]

    def delete(self, item_ids: Sequence[str]) -> int:
        return sum(self.entries.pop(item_id, None) is not None for item_id in item_ids)

    def passing(self, filter: Filter | None = None) -> list[Entry]:
        """By id, in the order of code points."""
        found = (entry for entry in self.entries.values() if satisfies(entry, filter))
        return sorted(found, key=lambda entry: [ord(letter) for letter in entry.item_id])

    def search(
        self, queries: np.ndarray, k: int, filter: Filter | None = None
    ) -> list[list[tuple[str, float]]]:
        ids = [entry.item_id for entry in self.passing(filter)]
        answers = []
        for query in queries.astype(np.float64):
            scores = [np.float32(np.dot(self.vectors[i].astype(np.float64), query)) for i in ids]
            ranked = sorted(range(len(ids)), key=lambda i: (-scores[i], i))[:k]
            answers.append([(ids[i], float(scores[i])) for i in ranked])
        return answers


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values beside their types: 1, 1.0 and True are equal to Python."""
    return {
        name: [(type(one), one) for one in value] if isinstance(value, tuple) else (type(value), value)
        for name, value in values.items()
    }
