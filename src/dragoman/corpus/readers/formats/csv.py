"""Tables of captions: CSV, TSV, with a header line."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dragoman import textfiles
from dragoman.corpus.readers.contract import CAPTION_KEYS, ITEM_KEYS, Row, Source
from dragoman.errors import UserError
from dragoman.folders import sha256

log = logging.getLogger(__name__)


def read(
    table: Path,
    *,
    columns: Mapping[str, str],
    delimiter: str | None = None,
    metadata: Collection[str] = (),
) -> Source:
    """Read one caption a record. `columns` maps a key of a caption or item to the header it has here.

    Headers that are keys already need no mapping; other columns are left out, unless `metadata` names them.
    An empty cell is an absent value. The delimiter is a comma, or a tab in files called `.tsv` or `.tsv.gz`.
    """
    unknown = sorted(set(columns) - (CAPTION_KEYS | ITEM_KEYS))
    if unknown:
        known = ", ".join(sorted(CAPTION_KEYS | ITEM_KEYS))
        raise UserError(f"--column {unknown[0]}=…: no such key. Known: {known}. Write --column KEY=HEADER.")
    if delimiter is None:
        delimiter = "\t" if table.name.removesuffix(".gz").endswith(".tsv") else ","
    if len(delimiter) != 1 or delimiter in '\n\r"':
        raise UserError(f"--delimiter is {delimiter!r}, but one character was expected, as in ';'.")
    return Source(
        captions=_rows(table, columns, delimiter, frozenset(metadata)),
        inputs={str(table): sha256(table)} if table.is_file() else {},
    )


def _rows(path: Path, columns: Mapping[str, str], delimiter: str, metadata: frozenset[str]) -> Iterator[Row]:
    header, records = textfiles.table(path, delimiter)
    keys = _keys(path, header, columns, metadata)
    for number, raw, cells, fault in records:
        fields: dict[str, object] = {}
        if not fault and len(cells) != len(header):
            fault = (
                f"{len(cells)} cells, but the header has {len(header)}. Quote cells that hold {delimiter!r}."
            )
        if not fault:
            fields = {key: cells[place] for key, place in keys.items() if cells[place]}
            fields["trust"] = _number(fields.get("trust"))
        yield Row(str(path), number, raw, fields, fault)


def _keys(
    path: Path, header: list[str], columns: Mapping[str, str], metadata: frozenset[str]
) -> dict[str, int]:
    """Find the place of each key that is read."""
    wanted = {name: name for name in metadata} | dict(columns)
    for name in wanted.values():
        if name not in header:
            raise UserError(
                f"{path}, line 1: no column {name!r}. The columns are: {', '.join(header)}. "
                "Map them: --column KEY=HEADER."
            )
    mapped = {name for key, name in columns.items() if key != name}
    same = {name: name for name in header if name in CAPTION_KEYS | ITEM_KEYS and name not in mapped}
    keys = {key: header.index(name) for key, name in (same | wanted).items()}
    left_out = [name for place, name in enumerate(header) if place not in keys.values()]
    if left_out:
        log.info("%s: columns left out: %s", path, ", ".join(left_out))
    return keys


def _number(cell: object) -> object:
    """Read a cell as a number where it is one; what is none is left for the check that names it."""
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell
