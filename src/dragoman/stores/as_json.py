"""Entries as JSON, as every store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.records import Entry, Value

MACHINE = "mt"
"""Key of the object that the captions of a language stand in where a machine translated them."""
ITSELF = "text"
"""Key of the object that they stand in where the first of them is the item itself."""


def record_of(entry: Entry) -> dict[str, Any]:
    """Give all of an entry but its id; `entry_of` reads it back."""
    return {
        "kind": entry.kind,
        "path": entry.path,
        "metadata": dict(entry.metadata),
        "captions": {lang: _written(entry, lang) for lang in entry.captions},
        "source": entry.source,
    }


def entry_of(item_id: str, record: Mapping[str, Any]) -> Entry:
    """Make the entry of a record that was read from JSON."""
    told = record["captions"]
    marked = {lang: next(iter(said)) for lang, said in told.items() if isinstance(said, Mapping)}
    machine = frozenset(lang for lang, mark in marked.items() if mark == MACHINE)
    captions = {lang: said[marked[lang]] if lang in marked else said for lang, said in told.items()}.items()
    read = {
        "lang": next((lang for lang, mark in marked.items() if mark == ITSELF), None),
        "metadata": metadata_of(record["metadata"]),
        "captions": {lang: said if isinstance(said, str) else said[0] for lang, said in captions},
        "more_captions": {lang: tuple(said[1:]) for lang, said in captions if not isinstance(said, str)},
        "machine": machine,
    }
    return Entry(item_id=item_id, **{**record, **read})


def _written(entry: Entry, lang: str) -> Any:
    # A list or an object only where it must be: one text by a person is written as before there were others.
    said: str | list[str] = entry.captions[lang]
    if lang in entry.more_captions:
        said = [entry.captions[lang], *entry.more_captions[lang]]
    if lang == entry.lang:
        return {ITSELF: said}
    return {MACHINE: said} if lang in entry.machine else said


def metadata_of(read: Mapping[str, Any]) -> dict[str, Value]:
    """Read metadata from JSON, which has lists where entries have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in read.items()}
