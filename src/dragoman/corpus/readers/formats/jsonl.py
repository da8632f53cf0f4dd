"""JSON Lines: one caption a line, or one item a line."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from dragoman.corpus.readers.contract import CAPTION_KEYS, ITEM_KEYS, Row, Source
from dragoman.folders import sha256
from dragoman.textfiles import json_object, numbered_lines


def read(
    captions: Path, *, items: Path | None = None, metadata: Collection[str] = (), ignore: Collection[str] = ()
) -> Source:
    """Read captions with the keys of a caption and its item, and optionally items with any further keys.

    A key of a caption line that is neither known nor named in `metadata` or `ignore` is a fault: it is
    usually a typing error. Blank lines are skipped.
    """
    files = [captions] if items is None else [captions, items]
    known = CAPTION_KEYS | ITEM_KEYS | set(metadata)
    return Source(
        captions=_rows(captions, known, frozenset(ignore)),
        items=None if items is None else _rows(items, None, frozenset()),
        inputs={str(path): sha256(path) for path in files if path.is_file()},
    )


def _rows(path: Path, known: frozenset[str] | None, ignore: frozenset[str]) -> Iterator[Row]:
    name = str(path)
    for number, raw in numbered_lines(path):
        if not raw.strip():
            continue
        fields, fault = json_object(raw)
        if known is not None and not fields.keys() <= known:
            fields = {key: value for key, value in fields.items() if key not in ignore}
            unknown = sorted(fields.keys() - known)
            if unknown:
                fault = (
                    f"key {unknown[0]!r} is not known (known: {', '.join(sorted(known))}). Correct it, or "
                    f"pass --metadata {unknown[0]} to keep it with the item, or --ignore {unknown[0]}."
                )
        yield Row(name, number, raw, fields, fault)
