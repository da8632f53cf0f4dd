"""A data set of Hugging Face on disk: what `save_to_disk` wrote, or a folder of Parquet files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.arrow import pa, pc
from dragoman.corpus.readers.contract import Published, Source, Wanted
from dragoman.corpus.readers.formats.captioned import (
    BATCH,
    Captioned,
    Columns,
    damaged,
    extracted,
    metadata,
    parquet_rows,
    parquet_schema,
    readable,
    source,
    split_of,
)
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.textfiles import TextLine

ABOUT = Published(
    title="data set of Hugging Face, as `save_to_disk` writes it, or `….parquet`",
    where={"": "https://huggingface.co/docs/datasets"},
    free=True,
    columns=True,
    packed=True,
    defects=(
        "read without the package `datasets`; a selection kept as indices is honoured",
        "splits are those of folders and of file names (`test-00000-of-00002.parquet`)",
        "columns called like the `--languages` are captions where there is no column of captions",
        "pictures in the tables have no path until `--extract FOLDER` writes them there",
    ),
)


_SIGNATURES = {b"\x89PNG": ".png", b"RIFF": ".webp", b"GIF8": ".gif"}
PICTURES = 16
"""Rows with pictures that are held at a time."""


class _SplitFiles(NamedTuple):
    """Files of one split; `indices` choose rows of them, in this order."""

    files: list[Path]
    split: Split | None
    name: str
    indices: list[int] | None


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    parts = _saved(root) if root.is_dir() else []
    parts = parts or _parquets(root)
    if not parts:
        raise UserError(
            f"{root} holds neither the state.json of save_to_disk nor .parquet files ({ABOUT.where['']}). "
            f"Save the data set there: data_set.save_to_disk({str(root)!r})"
        )
    for part in parts:
        wanted.files.use(*part.files)
    return source(
        wanted,
        lambda pictures: (record for part in parts for record in _records(wanted, part, pictures=pictures)),
    )


def _saved(root: Path) -> list[_SplitFiles]:
    folders = [
        path.parent for path in (root / "state.json", *sorted(root.glob("*/state.json"))) if path.is_file()
    ]
    parts = []
    for folder in folders:
        try:
            state = json.loads((folder / "state.json").read_bytes())
            files = [folder / str(file["filename"]) for file in state["_data_files"]]
            chosen = [folder / str(file["filename"]) for file in state.get("_indices_files") or ()]
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
            raise damaged(folder / "state.json", error) from None
        missing = [str(file) for file in (*files, *chosen) if not file.is_file()]
        if missing:
            raise UserError(f"{folder} lacks files that its state.json names: {', '.join(missing)}.")
        indices = (
            [_index(row) for file in chosen for _, row in _arrow_rows(file, pictures=False)]
            if chosen
            else None
        )
        # A selection (`select`, `shuffle`, `filter`) is kept as row numbers beside the unchanged tables.
        parts.append(_SplitFiles(files, split_of(folder.name), folder.name, indices))
    return parts


def _index(row: dict[str, object]) -> int:
    value = row.get("indices")
    return value if isinstance(value, int) else -1


def _parquets(root: Path) -> list[_SplitFiles]:
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*.parquet") if p.is_file())
    parts = []
    for file in files:
        words = (*re.split(r"[-_.]", file.name)[:1], file.parent.name)
        split = next((split for word in words if (split := split_of(word))), None)
        parts.append(_SplitFiles([file], split, file.name.removesuffix(".parquet"), None))
    return parts


def _records(wanted: Wanted, part: _SplitFiles, *, pictures: bool) -> Iterator[Captioned]:
    columns: Columns | None = None
    rows = chain.from_iterable(
        _rows(file, pictures=pictures and wanted.extract is not None) for file in part.files
    )
    chosen = enumerate(rows) if part.indices is None else _selected(rows, part)
    for number, (place, names, row) in chosen:
        if columns is None:
            columns = Columns(wanted, names, place.rpartition(",")[0])
        image = next((value for value in row.values() if _is_picture(value)), None)
        value = row.get(columns.item_id) if columns.item_id else None
        item_id = str(value) if isinstance(value, str | int) else f"{part.name}-{number}"
        line = TextLine(0, "", "", None)
        said = row.get(columns.split) if columns.split else None
        split = (split_of(said) if isinstance(said, str) else None) or part.split
        if not pictures:
            yield Captioned(place, line, item_id, split, None, columns.captions(row), {})
            continue
        path = row.get(columns.path) if columns.path else None
        path = _path(wanted, item_id, image) if isinstance(image, dict) else path
        more = metadata(row, columns.used())
        yield Captioned(place, line, item_id, split, path if isinstance(path, str) else None, [], more)


def _selected(
    rows: Iterator[tuple[str, list[str], dict[str, object]]], part: _SplitFiles
) -> Iterator[tuple[int, tuple[str, list[str], dict[str, object]]]]:
    """Yield the rows of a selection, under their place in it."""
    # A selection may be in any order.
    held = list(rows)
    for number, row in enumerate(part.indices or ()):
        if not 0 <= row < len(held):
            raise UserError(f"{part.files[0].parent}: row {row} of {len(held)} is selected. Save it anew.")
        yield number, held[row]


def _is_picture(value: object) -> bool:
    return isinstance(value, dict) and "path" in value and set(value) <= {"bytes", "path"}


def _path(wanted: Wanted, item_id: str, image: dict[str, object]) -> str | None:
    name, data = image["path"], image.get("bytes")
    name = name if isinstance(name, str) and name else None
    if isinstance(data, bytes) and wanted.extract is not None:
        suffix = Path(name or "").suffix or _SIGNATURES.get(data[:4], ".jpg")
        return extracted(wanted.extract, f"{item_id}{suffix}", data)
    return name


def _rows(file: Path, *, pictures: bool) -> Iterator[tuple[str, list[str], dict[str, object]]]:
    schema = parquet_schema(file) if file.suffix == ".parquet" else _arrow_schema(file)
    # Where pictures are not asked for, their bytes are never read.
    columns = [f"{f.name}.path" if _holds_picture(f.type) and not pictures else f.name for f in schema]
    if file.suffix == ".parquet":
        rows = parquet_rows(file, columns, PICTURES if pictures else BATCH)
    else:
        rows = _arrow_rows(file, pictures=pictures)
    for number, row in rows:
        yield f"{file}, row {number}", schema.names, row


def _holds_picture(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def _arrow_schema(file: Path) -> pa.Schema:
    with readable(file), pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).schema


def _arrow_rows(file: Path, *, pictures: bool) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    with readable(file), pa.memory_map(str(file)) as source:
        for batch in pa.ipc.open_stream(source):
            # Without this a damaged offset is read as memory that is not ours.
            batch.validate(full=True)
            for start in range(0, len(batch), PICTURES):
                for row in _without_bytes(batch.slice(start, PICTURES), pictures=pictures).to_pylist():
                    number += 1
                    yield number, row


def _without_bytes(batch: pa.RecordBatch, *, pictures: bool) -> pa.RecordBatch:
    for place, field in enumerate(batch.schema):
        if _holds_picture(field.type) and not pictures:
            names = pc.struct_field(batch.column(place), "path")
            batch = batch.set_column(place, field.name, pa.StructArray.from_arrays([names], ["path"]))
    return batch
