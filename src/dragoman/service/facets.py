"""Fields of the entries of a collection, with their few values or their range."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dragoman.records import Entry, Scalar
from dragoman.service import schemas
from dragoman.stores import Store

FEW = 24
"""Values that are listed; a field with more of them is not for choosing from a list."""
MOST_FIELDS = 50
PAGE = 1000


@dataclass(frozen=True)
class Summary:
    """Fields and languages among the first `read` entries."""

    fields: list[schemas.MetadataField]
    languages: list[str]
    """Languages of captions, the most frequent first."""
    read: int


class Facets:
    """The summary of an index, remembered for a while."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._kept: tuple[float, Summary] | None = None
        self._lock = threading.Lock()

    def of(self, store: Store) -> Summary:
        """Read the index unless that was done lately."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > self._seconds:
                self._kept = (time.monotonic(), summarise(_first(store, self._limit)))
            return self._kept[1]

    def forget(self) -> None:
        """Read the index anew at the next call, since it has changed."""
        with self._lock:
            self._kept = None


@dataclass
class _Seen:
    items: int = 0
    values: Counter[tuple[type, Scalar]] = field(default_factory=Counter)
    types: set[str] = field(default_factory=set)
    numbers: list[float] = field(default_factory=list)

    def add(self, values: tuple[Scalar, ...]) -> None:
        self.items += 1
        for value in set(values):
            # True equals 1 in Python, but not in a filter.
            if len(self.values) <= FEW:
                self.values[bool if isinstance(value, bool) else object, value] += 1
            self.types.add(_type(value))
            if _type(value) == "number":
                low_high = [*self.numbers, float(value)]
                self.numbers = [min(low_high), max(low_high)]


def summarise(entries: Iterable[Entry]) -> Summary:
    """The fields of entries, those that most of them have first."""
    seen: dict[str, _Seen] = {}
    languages: Counter[str] = Counter()
    read = 0
    for entry in entries:
        read += 1
        languages.update(entry.captions.keys())
        for name, value in entry.metadata.items():
            if name in seen or len(seen) < MOST_FIELDS:
                seen.setdefault(name, _Seen()).add(value if isinstance(value, tuple) else (value,))
    ordered = sorted(seen.items(), key=lambda item: (-item[1].items, item[0]))
    return Summary(
        [_field(name, one) for name, one in ordered], [lang for lang, _ in languages.most_common()], read
    )


def _field(name: str, seen: _Seen) -> schemas.MetadataField:
    numeric = seen.types == {"number"}
    few = len(seen.values) <= FEW
    counts = sorted(seen.values.items(), key=lambda item: (-item[1], str(item[0][1])))
    return schemas.MetadataField(
        name=name,
        type=next(iter(seen.types)) if len(seen.types) == 1 else "mixed",  # type: ignore[arg-type]
        items=seen.items,
        values=[schemas.FieldValue(value=v, count=count) for (_, v), count in counts] if few else None,
        minimum=seen.numbers[0] if numeric else None,
        maximum=seen.numbers[1] if numeric else None,
    )


def _type(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _first(store: Store, limit: int) -> Iterator[Entry]:
    after, left = "", limit
    while left > 0:
        page = store.scan(after, min(PAGE, left))
        yield from page
        if len(page) < min(PAGE, left):
            return
        after, left = page[-1].item_id, left - len(page)
