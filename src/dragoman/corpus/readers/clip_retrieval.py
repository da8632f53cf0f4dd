"""The output folder of `clip-retrieval inference`: metadata, and vectors that become a feature set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from dragoman.corpus.features import write_features
from dragoman.corpus.readers.contract import Published, Source, Wanted
from dragoman.corpus.readers.formats.captioned import (
    Captioned,
    Columns,
    captions,
    column_names,
    items,
    metadata,
    parquet_rows,
)
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.textfiles import TextLine

ABOUT = Published(
    title="output of clip-retrieval, `metadata/metadata_0.parquet` and `img_emb/img_emb_0.npy`",
    where={"": "https://github.com/rom1504/clip-retrieval"},
    free=True,
    columns=True,
    defects=(
        "the vectors of images become the feature set `img_emb`; those of texts are not read",
        "item ids are file names without suffix, or paths where these would not be unique",
    ),
)
_NUMBER = re.compile(r"\d+")


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    tables = _shards(root, "metadata", "metadata_*.parquet")
    if not tables:
        raise UserError(
            f"{root} holds no metadata/metadata_*.parquet of clip-retrieval ({ABOUT.where['']}). Give the "
            "folder that its inference wrote."
        )
    wanted.files.use(*tables)
    ids = _ids(wanted, tables)
    vectors = _shards(root, "img_emb", "img_emb_*.npy")
    features = (Shards(files=tuple(vectors), ids=tuple(ids)),) if vectors else ()
    return Source(
        items=items(_records(wanted, tables, ids, texts=False)),
        captions=captions(wanted, _records(wanted, tables, ids, texts=True)),
        features=features,
    )


@dataclass(frozen=True)
class Shards:
    """Vectors in several files; row i of all of them belongs to id i."""

    files: tuple[Path, ...]
    ids: tuple[str, ...]
    name: str = "img_emb"

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """Content hashes of the files."""
        return {str(file): sha256(file) for file in self.files}

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the vectors of these items, in this order, into `folder`."""
        try:
            vectors_ND = np.concatenate([np.load(file, allow_pickle=False) for file in self.files])
        except Exception as error:  # a damaged header raises nearly anything, from EOFError to TokenError
            raise UserError(f"{self.files[0].parent} cannot be read ({error}). Fetch it anew.") from None
        if vectors_ND.ndim != 2 or vectors_ND.dtype.kind != "f" or len(vectors_ND) != len(self.ids):
            raise UserError(
                f"{self.files[0].parent} holds {vectors_ND.dtype} of shape {vectors_ND.shape}, but the "
                f"metadata have {len(self.ids)} rows; one row of floats each was expected. Give the whole "
                "output folder."
            )
        row_of = {name: row for row, name in enumerate(self.ids)}
        # Items may be fewer than rows, where some were refused, and the corpus has an order of its own.
        row_I = np.fromiter((row_of[name] for name in item_ids), np.int64, len(item_ids))
        if not np.isfinite(vectors_ND[row_I].astype(np.float16)).all():
            raise UserError(f"{self.files[0].parent} holds vectors that float16 cannot hold. Make them anew.")
        rows = (vectors_ND[row] for row in row_I)
        write_features(folder, item_ids, rows, layout="whole", inputs=self.inputs, source="given")


def _shards(root: Path, folder: str, pattern: str) -> list[Path]:
    # By number: as text, metadata_10 would come before metadata_2, and the rows of vectors would not fit.
    found = (*root.glob(pattern), *(root / folder).glob(pattern))
    return sorted(found, key=lambda path: (int((_NUMBER.findall(path.stem) or ["0"])[-1]), path.name))


def _ids(wanted: Wanted, tables: list[Path]) -> list[str]:
    """Return the item id of each row."""
    paths: list[str] = []
    for table in tables:
        name = Columns(wanted, column_names(table), str(table)).item_id
        if name is None:
            raise UserError(f"{table}: no column names the image. Name it with --column item_id=HEADER.")
        for number, row in parquet_rows(table, [name]):
            if not isinstance(value := row[name], str | int):
                raise UserError(f"{table}, row {number}: {name} is {value!r}, but a name was expected.")
            paths.append(str(value))
    stems = [PurePosixPath(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    folders = [str(PurePosixPath(path).parent) for path in paths]
    alike = len({folder.startswith("/") for folder in folders}) == 1
    # commonpath refuses a mixture of absolute and relative paths.
    common = os.path.commonpath(folders) if alike else ""
    return [str(PurePosixPath(path).with_suffix("")).removeprefix(common).lstrip("/") for path in paths]


def _records(wanted: Wanted, tables: list[Path], ids: list[str], *, texts: bool) -> Iterator[Captioned]:
    rows = chain.from_iterable(_rows(wanted, table) for table in tables)
    for item_id, (place, columns, row) in zip(ids, rows, strict=True):
        path = row.get(columns.path) if columns.path else None
        found = columns.captions(row) if texts else []
        more = metadata(row, columns.used())
        yield Captioned(
            place,
            TextLine(0, "", "", None),
            item_id,
            None,
            path if isinstance(path, str) else None,
            found,
            more,
        )


def _rows(wanted: Wanted, table: Path) -> Iterator[tuple[str, Columns, dict[str, object]]]:
    names = column_names(table)
    columns = Columns(wanted, names, str(table))
    for number, row in parquet_rows(table, names):
        yield f"{table}, row {number}", columns, row
