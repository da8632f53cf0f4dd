"""A corpus in the making: records go in, checked tables come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.arrow import pa
from dragoman.corpus.checks import (
    RecordError,
    Rejects,
    caption_values,
    checked_metadata,
    copied_descriptions,
    name_of,
    one_of,
    path_of,
    required,
    source_faults,
    text_values,
)
from dragoman.corpus.corpus import CAPTIONS, CORRECTS, FOUND_IN, ITEMS, TEXT_KEYS
from dragoman.corpus.options import BuildOptions
from dragoman.corpus.readers.contract import ITEM_KEYS, Row
from dragoman.records import KINDS, SPLITS

CHUNK = 65_536
"""Captions that are held as Python objects at a time."""

_PLACE = [pa.field("file", pa.string()), pa.field("line", pa.int64()), pa.field("raw", pa.string())]
_TOLD = (FOUND_IN, CORRECTS)
"""Columns that only some corpora have."""
_PLACED = pa.schema([*CAPTIONS, *_PLACE, *_TOLD])
_SORTS = {str: "text", int: "a number", float: "a number", bool: "true or false"}
_LIST = "a list"


@dataclass(slots=True)
class _Claims:
    """Statements of the records so far about one item, and the place of the first."""

    place: str
    split: str
    kind: str | None = None
    path: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)


class Draft:
    """Collector of items and captions; what does not fit goes to `rejects` with its place and reason.

    What records leave out, the options say: language, role, split, kind, and where relative paths begin.
    """

    def __init__(self, rejects: Rejects, options: BuildOptions, *, keep_items: bool = False) -> None:
        """If `keep_items`, an item whose metadata are refused stays, without them."""
        self.rejects, self._keep_items = rejects, keep_items
        self._lang, self._role, self._split_of = options.lang, options.role, options.split_of()
        self._kind = options.kind
        self._base, self._metadata = options.media_root, options.metadata
        self._items: dict[str, _Claims] = {}
        self._sorts: dict[str, str] = {}
        self._explicit = self._describes = False
        self._rejected_items: set[str] = set()
        self._rejected_captions: set[str] = set()
        # The place of each caption, for the message about an id that stands twice. With the items this is all
        # that grows as Python objects; captions go into Arrow.
        self._place_of: dict[str, str] = {}
        self._generated: Counter[tuple[str, str]] = Counter()
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    def add_items(self, rows: Iterable[Row]) -> None:
        """Take items from records of their own: from here on, captions of other items are faults."""
        self._explicit = True
        for row in rows:
            try:
                self._add_item(row)
            except RecordError as fault:
                self._reject(row, fault, "item_id", self._rejected_items)

    def add_caption(self, row: Row) -> None:
        """Take one caption, and with it what it says about its item, or an item that is a text."""
        try:
            (self._add_text if row.is_item else self._add_caption)(row)
        except RecordError as fault:
            key, ids = (
                ("item_id", self._rejected_items) if row.is_item else ("caption_id", self._rejected_captions)
            )
            self._reject(row, fault, key, ids)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Return the items and captions that passed, in the order in which they came."""
        self._flush()
        # Only now is every caption known: a translation may stand before its source.
        captions = pa.Table.from_batches(self._batches, _PLACED)
        faults = source_faults(captions, self._rejected_captions)
        if self._describes:
            faults = dict(sorted((faults | copied_descriptions(captions)).items()))
        places = captions.select(["file", "line", "raw"]).take(pa.array(list(faults), pa.int64())).to_pylist()
        for place, reason in zip(places, faults.values(), strict=True):
            self.rejects.add(place["file"], place["line"], reason, place["raw"])
        if faults:
            kept = [number not in faults for number in range(len(captions))]
            captions = captions.filter(pa.array(kept, pa.bool_()))
        used = None if self._explicit else set(captions["item_id"].unique().to_pylist())
        # An item that only captions named goes with them, where all of them were refused.
        items = {
            name: claims
            for name, claims in self._items.items()
            if used is None or name in used or claims.kind == "text"
        }
        # Where nobody says where captions stood, there is no column of nulls.
        told = [one for one in _TOLD if captions[one.name].null_count < len(captions)]
        kept = pa.schema([*CAPTIONS, *told])
        return _item_table(items, self._kind or KINDS[0]), captions.select(kept.names).cast(kept)

    def _add_item(self, row: Row) -> None:
        if row.fault:
            raise RecordError(row.fault)
        item_id = required(name_of(row.fields, "item_id"), "item_id")
        if item_id in self._items:
            raise RecordError(
                f"item_id {item_id!r} stands in {self._items[item_id].place} already. Keep one of the two."
            )
        columns = [key for key in row.fields if key not in ITEM_KEYS]
        try:
            self._items[item_id] = self._claims(item_id, row, columns)
        except RecordError as fault:
            if not self._keep_items:
                raise
            self._items[item_id] = self._claims(item_id, row, ())
            self.rejects.add(row.file, row.line, str(fault), row.raw)

    def _add_text(self, row: Row) -> None:
        """Take an item that is a text, from a record among captions."""
        if row.fault:
            raise RecordError(row.fault)
        self._join(required(name_of(row.fields, "item_id"), "item_id"), row)

    def _add_caption(self, row: Row) -> None:
        if row.fault:
            raise RecordError(row.fault)
        values = caption_values(row.fields, self._lang, self._role)
        item_id, caption_id = values.item_id, values.caption_id
        if caption_id is None:
            key = (item_id, values.lang)
            caption_id = f"{item_id}#{values.lang}#{self._generated[key]}"
            self._generated[key] += 1
        if caption_id in self._place_of:
            raise RecordError(
                f"caption_id {caption_id!r} stands in {self._place_of[caption_id]} already. "
                "Give every caption an id of its own."
            )
        self._join(item_id, row)
        self._describes |= values.role == "description"
        self._place_of[caption_id] = _place(row)
        # Only a reject file asks for the text of a record, and it would double the memory.
        raw = row.raw if self.rejects.file is not None else None
        if isinstance(raw, bytes):
            raw = raw.decode("utf-8", "backslashreplace")
        file = row.file.encode("utf-8", "backslashreplace").decode()
        self._rows.append((caption_id, *values[1:], file, row.line, raw, row.found_in, row.corrects))
        if len(self._rows) == CHUNK:
            self._flush()

    def _join(self, item_id: str, row: Row) -> None:
        item = self._items.get(item_id)
        if item is not None:
            self._merge(item_id, item, row)
        elif item_id in self._rejected_items:
            raise RecordError(f"its item {item_id!r} was rejected.")
        elif self._explicit:
            raise RecordError(
                f"item_id {item_id!r} is none of the items. Add the item, or remove the caption."
            )
        else:
            self._items[item_id] = self._claims(item_id, row, self._metadata)

    def _claims(self, item_id: str, row: Row, metadata: Iterable[str]) -> _Claims:
        split = one_of(row.fields, "split", SPLITS)
        if split is None and self._split_of is not None:
            # By the id, so that the records of one item agree, in whatever order they come.
            split = self._split_of(item_id)
        kind = self._kind_of(row)
        # A stand-in for all but texts waits until no record has said otherwise.
        kind = "text" if (kind or self._kind) == "text" else kind
        return _Claims(
            place=_place(row),
            split=required(split, "split", ", or pass --split or --split-fractions"),
            kind=kind,
            path=self._path(row),
            metadata=self._metadata_of(row, metadata, kind),
        )

    def _merge(self, item_id: str, item: _Claims, row: Row) -> None:
        """Let a further record of an item add what is not yet said; it must not say otherwise."""
        fields = row.fields
        split, kind = one_of(fields, "split", SPLITS), self._kind_of(row)
        path, found = self._path(row), self._metadata_of(row, self._metadata, kind if row.is_item else None)
        said: dict[str, object] = {"split": item.split, "kind": item.kind, "path": item.path, **item.metadata}
        for key, value in {"split": split, "kind": kind, "path": path, **found}.items():
            if value is not None and said.get(key) is not None and said[key] != value:
                raise RecordError(
                    f"item {item_id!r} has {key} {value!r} here but {said[key]!r} in {item.place}. "
                    f"An item has one {key}: correct one of the two."
                )
        item.kind, item.path = item.kind or kind, item.path or path
        item.metadata.update(found)

    def _path(self, row: Row) -> str | None:
        if row.fields.get("path") is None:
            return None
        return path_of(row.fields, (self._base or Path(row.file).parent).absolute())

    def _kind_of(self, row: Row) -> str | None:
        return "text" if row.is_item else one_of(row.fields, "kind", KINDS)

    def _metadata_of(self, row: Row, names: Iterable[str], kind: str | None) -> dict[str, object]:
        """Check metadata, among which are the text and the language of an item that is a text."""
        found = checked_metadata(row.fields, names)
        if kind == "text":
            found |= zip(TEXT_KEYS, text_values(row.fields, self._lang), strict=True)
        for name, value in found.items():
            sort, first = _sort(value), self._sorts.get(name)
            # Parquet has one type for all lists of a column; an empty one fits all of them.
            if first is None or (first == _LIST and sort.startswith(_LIST)):
                self._sorts[name] = sort
            elif sort != first and not (sort == _LIST and first.startswith(_LIST)):
                raise RecordError(
                    f"{name} is {value!r}, {sort}, but elsewhere {first}. Write one sort throughout."
                )
        return found

    def _reject(self, row: Row, fault: RecordError, key: str, ids: set[str]) -> None:
        self.rejects.add(row.file, row.line, str(fault), row.raw)
        if isinstance(name := row.fields.get(key), str | int):
            ids.add(str(name))

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(_PLACED)
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _PLACED, strict=True)]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=_PLACED))
        self._rows.clear()


def _place(row: Row) -> str:
    return f"{row.file}, line {row.line}" if row.line else row.file


def _sort(value: object) -> str:
    if not isinstance(value, list):
        return _SORTS[type(value)]
    return f"{_LIST} of {_SORTS[type(value[0])]}" if value else _LIST


def _item_table(items: Mapping[str, _Claims], kind: str) -> pa.Table:
    claims = items.values()
    fixed = [list(items), [c.kind or kind for c in claims], [c.path for c in claims]]
    table = pa.table([*fixed, [c.split for c in claims]], schema=ITEMS)
    for name in dict.fromkeys(name for c in claims for name in c.metadata):
        column = [c.metadata.get(name) for c in claims]
        # Whole numbers among others are the same sort; PyArrow takes no mixture of the two.
        if any(isinstance(value, float) for value in column):
            column = [None if value is None else float(str(value)) for value in column]
        table = table.append_column(name, pa.array(column))
    return table
