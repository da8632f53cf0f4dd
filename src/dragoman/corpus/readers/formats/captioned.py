"""Records of tables and samples that say themselves what they hold, and Parquet, where most of them lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dragoman.arrow import pa, pq
from dragoman.corpus.readers.contract import CAPTION_KEYS, ITEM_KEYS, Row, Source, Wanted, faulty
from dragoman.errors import UserError, reason
from dragoman.folders import atomic_path
from dragoman.records import Split
from dragoman.textfiles import TextLine

KEYS = ("item_id", "text", "lang", "path", "split")
_TEXTS = ("caption", "captions", "text", "texts", "TEXT", "sentence", "sentences", "description")
_IDS = ("item_id", "image_id", "id", "key", "filename", "file_name", "image_path")
_LANGS = ("lang", "language", "LANGUAGE", "locale")
_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "dev": "val",
}
_SPLITS |= {"validation": "val", "test": "test", "testing": "test"}


class Captioned(NamedTuple):
    """One item and its captions, by language (None where it is not told); a fault where it is none."""

    place: str
    line: TextLine
    item_id: str
    split: Split | None
    path: str | None
    captions: list[tuple[str | None, object]]
    more: Mapping[str, object]


def source(wanted: Wanted, records: Callable[[bool], Iterable[Captioned]], *, once: bool = False) -> Source:
    """Give the items and captions of records, which are read twice, so that neither is held.

    `records(True)` gives items with their paths and metadata, `records(False)` their captions. `once` is that
    of `items`.
    """
    return Source(items=items(records(True), once=once), captions=captions(wanted, records(False)))


def items(records: Iterable[Captioned], *, once: bool = False) -> Iterator[Row]:
    """Yield the items of records; one that several records name counts once, if they agree on its split.

    With `once` no other record may name it.
    """
    seen: set[tuple[str, Split | None]] = set()
    for record in records:
        key = (record.item_id, record.split)
        # Faults are told with the captions, which are read from the same records: once is enough.
        if record.line.fault or (key in seen and not once):
            continue
        seen.add(key)
        fields: dict[str, object] = {"item_id": record.item_id, "path": record.path, **record.more}
        if record.split is not None:
            fields["split"] = record.split
        yield Row(record.place, record.line.number, "", fields)


def captions(wanted: Wanted, records: Iterable[Captioned]) -> Iterator[Row]:
    """Yield the captions of records in the wanted languages; empty ones are left out and counted."""
    for place, line, item_id, _, _, texts, _ in records:
        if line.fault:
            yield faulty(place, line, line.fault)
        for lang, text in texts:
            if isinstance(text, str) and not text.strip():
                wanted.defects.note(f"empty caption left out{f', {lang}' if lang else ''}", item_id)
            elif not wanted.languages or (lang or wanted.lang) in (*wanted.languages, None):
                fields = {"item_id": item_id, "text": text} | ({"lang": lang} if lang else {})
                yield Row(place, line.number, line.raw, fields)


def texts_of(value: object, lang: str | None) -> list[tuple[str | None, object]]:
    """List the captions of a field: a text, a list of texts, or either by language."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [found for tag, texts in value.items() for found in texts_of(texts, str(tag))]
    return [(lang, text) for text in value] if isinstance(value, list) else [(lang, value)]


def split_of(name: str) -> Split | None:
    """Return the split that a name means, if it does: `validation` is val."""
    return _SPLITS.get(name.lower())


class Columns:
    """Columns of a table by what they hold: as the user says, or by their usual names."""

    def __init__(self, wanted: Wanted, names: Iterable[str], table: str) -> None:
        self._names = list(names)
        unknown = sorted(set(wanted.columns) - set(KEYS))
        if unknown:
            raise UserError(f"--column {unknown[0]}=…: no such key here. Known: {', '.join(KEYS)}.")
        absent = [name for name in wanted.columns.values() if name not in self._names]
        if absent:
            raise UserError(
                f"{table}: no column {absent[0]!r}. The columns are: {', '.join(self._names)}. "
                "Map them: --column KEY=HEADER."
            )
        self.text = self._of(wanted, "text", _TEXTS)
        self.item_id = self._of(wanted, "item_id", _IDS)
        self.lang = self._of(wanted, "lang", _LANGS)
        self.split = self._of(wanted, "split", ("split",))
        self.path = self._of(wanted, "path", ("path", "image_path"))
        # A column called like a wanted language holds its captions.
        self.languages = [tag for tag in wanted.languages if tag in self._names] if self.text is None else []
        if self.text is None and not self.languages:
            raise UserError(
                f"{table}: no column of captions is known among: {', '.join(self._names)}. Name it with "
                "--column text=HEADER, or columns called like languages with --languages."
            )

    def captions(self, row: Mapping[str, object]) -> list[tuple[str | None, object]]:
        """List the captions of a row."""
        if self.text is None:
            return [found for tag in self.languages for found in texts_of(row.get(tag), tag)]
        lang = row.get(self.lang) if self.lang else None
        return texts_of(row.get(self.text), lang if isinstance(lang, str) else None)

    def used(self) -> set[str]:
        """Return the columns that hold what is not metadata."""
        named = (self.text, self.item_id, self.lang, self.split, self.path)
        return {name for name in named if name is not None} | set(self.languages)

    def _of(self, wanted: Wanted, key: str, usual: Iterable[str]) -> str | None:
        return wanted.columns.get(key) or next((name for name in usual if name in self._names), None)


def metadata(row: Mapping[str, object], left_out: set[str]) -> dict[str, object]:
    """Return the plain values of a row that describe its item."""
    taken = left_out | CAPTION_KEYS | ITEM_KEYS
    return {
        name: value
        for name, value in row.items()
        # NaN, which is not itself, stands for what is absent in tables of pandas.
        if name not in taken and type(value) in (str, int, float, bool) and value == value
    }


def extracted(folder: Path, name: str, data: bytes) -> str:
    """Write a picture below a folder, unless it is there, and give its path.

    Raises UserError where the name leads out of the folder.
    """
    # Names come from a foreign file: `../../.bashrc` must not be written.
    path = (folder / name).absolute()
    if not Path(os.path.normpath(path)).is_relative_to(folder.absolute()):
        raise UserError(f"{name!r} would be written outside {folder}. Check where these files are from.")
    # A second build writes nothing anew, and a picture that is another now, or was cut short, is replaced.
    if not path.is_file() or path.read_bytes() != data:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    return str(path)


BATCH = 1024


def parquet_schema(file: Path) -> pa.Schema:
    """Read the columns of a Parquet file."""
    with readable(file):
        return pq.read_schema(file)


def column_names(file: Path) -> list[str]:
    """Read the names of the columns of a Parquet file."""
    names: list[str] = parquet_schema(file).names
    return names


def parquet_rows(
    file: Path, columns: Sequence[str], batch_size: int = BATCH
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield number (from 1) and some columns of each row."""
    number = 0
    with readable(file), pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size, columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield number, row


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn what PyArrow raises for a damaged file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(file, error) from None


def damaged(file: Path, error: Exception) -> UserError:
    """Make the error of a file that cannot be read."""
    return UserError(f"{file} cannot be read ({reason(error)}). Fetch it anew.")
