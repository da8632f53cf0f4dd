"""Entries as JSON, as every store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.records import Entry, Value


def record_of(entry: Entry) -> dict[str, Any]:
    """Give all of an entry but its id; `entry_of` reads it back."""
    more = entry.more_captions
    return {
        "kind": entry.kind,
        "path": entry.path,
        "metadata": dict(entry.metadata),
        # A list only where it must be: one text a language is written as before there were several.
        "captions": {
            lang: [text, *more[lang]] if lang in more else text for lang, text in entry.captions.items()
        },
        "source": entry.source,
    }


def entry_of(item_id: str, record: Mapping[str, Any]) -> Entry:
    """Make the entry of a record that was read from JSON."""
    captions = record["captions"].items()
    read = {
        "metadata": metadata_of(record["metadata"]),
        "captions": {lang: said if isinstance(said, str) else said[0] for lang, said in captions},
        "more_captions": {lang: tuple(said[1:]) for lang, said in captions if not isinstance(said, str)},
    }
    return Entry(item_id=item_id, **{**record, **read})


def metadata_of(read: Mapping[str, Any]) -> dict[str, Value]:
    """Read metadata from JSON, which has lists where entries have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in read.items()}
