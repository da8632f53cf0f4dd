"""The output folder of img2dataset: Parquet files; images beside them, in a tar or tfrecord, or in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.parquet import column_names, parquet_rows
from dragoman.corpus.readers.formats.records import Columns, Record, extracted, source
from dragoman.corpus.readers.formats.tfrecord import examples
from dragoman.errors import UserError
from dragoman.textfiles import TextLine

ABOUT = Published(
    title="output of img2dataset, `00000.parquet` beside `00000/`, `00000.tar` or `00000.tfrecord`, or with "
    "the images in it",
    where={"": "https://github.com/rom1504/img2dataset"},
    free=True,
    columns=True,
    packed=True,
    defects=(
        "images that were not downloaded are left out and counted by their status",
        "an image has the path of its file in `00000/`; one in `00000.parquet` or `00000.tfrecord` gets one "
        "by `--extract FOLDER`, one in `00000.tar` by reading the folder as `webdataset`",
        "the address is kept in the metadata column `url`",
    ),
)
_SUFFIXES = ("jpg", "png", "webp")
_METADATA = ("url", "width", "height")


def needed(test: str) -> Needed:
    return {}


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    shards = sorted(p for p in root.glob("*.parquet") if "_stats" not in p.name and p.is_file())
    if not shards:
        raise UserError(
            f"{root} holds no .parquet of img2dataset ({ABOUT.where['']}). Give the folder that it wrote."
        )
    for shard in shards:
        wanted.files.use(shard)
    return source(
        wanted,
        lambda pictures: (
            record for shard in shards for record in _records(wanted, shard, pictures=pictures)
        ),
        once=True,
    )


def _records(wanted: Wanted, shard: Path, *, pictures: bool) -> Iterator[Record]:
    names = column_names(shard)
    columns = Columns(wanted, names, str(shard))
    image = next((name for name in _SUFFIXES if name in names), None)
    read = {name for name in (*columns.used(), "key", "status", *_METADATA) if name in names}
    if image and pictures and wanted.extract is not None:
        read.add(image)
    packed = _pictures(wanted, shard) if pictures else {}
    for number, row in parquet_rows(shard, sorted(read)):
        place, line = f"{shard}, row {number}", TextLine(0, "", "", None)
        key, status = row.get("key"), row.get("status", "success")
        if not isinstance(key, str):
            yield Record(place, line._replace(fault="key is missing or no string."), "", None, None, [], {})
        elif status != "success":
            if pictures:
                wanted.defects.note(f"image left out, {status}", key)
        elif pictures:
            path = packed.get(key) or _path(wanted, shard, key, row.get(image) if image else None, image)
            more = {name: row[name] for name in _METADATA if row.get(name) is not None}
            yield Record(place, line, key, None, path, [], more)
        else:
            yield Record(place, line, key, None, None, columns.captions(row), {})


def _pictures(wanted: Wanted, shard: Path) -> dict[str, str]:
    """Extract the pictures that a `.tfrecord` beside the shard holds: their paths, by key."""
    file, found = shard.with_suffix(".tfrecord"), {}
    if wanted.extract is None or not file.is_file():
        return {}
    for example in examples(wanted.files.use(file)):
        key = example.get("key", b"").decode(errors="replace")
        for suffix in _SUFFIXES:
            if suffix in example:
                found[key] = extracted(wanted.extract, f"{shard.stem}/{key}.{suffix}", example[suffix])
    return found


def _path(wanted: Wanted, shard: Path, key: str, data: object, image: str | None) -> str:
    folder = shard.with_suffix("")
    for suffix in _SUFFIXES:
        if (file := folder / f"{key}.{suffix}").is_file():
            return str(file.absolute())
    if isinstance(data, bytes) and wanted.extract is not None:
        return extracted(wanted.extract, f"{folder.name}/{key}.{image}", data)
    return f"{key}.{image or _SUFFIXES[0]}"
