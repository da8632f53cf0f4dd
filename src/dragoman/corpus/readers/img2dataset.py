"""The output folder of img2dataset: Parquet files; images beside them, in a tar or tfrecord, or in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from dragoman.corpus.readers.contract import Published, Source, Wanted
from dragoman.corpus.readers.formats.captioned import (
    Captioned,
    Columns,
    column_names,
    extracted,
    parquet_rows,
    source,
)
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


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    shards = sorted(p for p in root.glob("*.parquet") if "_stats" not in p.name and p.is_file())
    if not shards:
        raise UserError(
            f"{root} holds no .parquet of img2dataset ({ABOUT.where['']}). Give the folder that it wrote."
        )
    wanted.files.use(*shards)
    return source(
        wanted,
        lambda pictures: (
            record for shard in shards for record in _records(wanted, shard, pictures=pictures)
        ),
        once=True,
    )


def _records(wanted: Wanted, shard: Path, *, pictures: bool) -> Iterator[Captioned]:
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
            yield Captioned(
                place, line._replace(fault="key is missing or no string."), "", None, None, [], {}
            )
        elif status != "success":
            if pictures:
                wanted.defects.note(f"image left out, {status}", key)
        elif pictures:
            path = packed.get(key) or _path(wanted, shard, key, row.get(image) if image else None, image)
            more = {name: row[name] for name in _METADATA if row.get(name) is not None}
            yield Captioned(place, line, key, None, path, [], more)
        else:
            yield Captioned(place, line, key, None, None, columns.captions(row), {})


def _pictures(wanted: Wanted, shard: Path) -> dict[str, str]:
    """Extract the pictures that a `.tfrecord` beside the shard holds: their paths, by key."""
    file, found = shard.with_suffix(".tfrecord"), {}
    if wanted.extract is None or not file.is_file():
        return {}
    wanted.files.use(file)
    for example in examples(file):
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


VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of storage of a field of a protocol buffer."""
# Its records need no TensorFlow: length (8 bytes), its checksum (4), content, the content's checksum (4).
# A content is a `tf.train.Example`: a map from names to lists of bytes, floats or integers.


def examples(file: Path) -> Iterator[dict[str, bytes]]:
    """Yield the bytes of each example, by their name; of a list the first, and no numbers.

    Raises UserError where the file is torn or no such file.
    """
    # Lengths are checked by their checksum, contents by their form alone: Python would sum a gigabyte for
    # minutes, and a package that sums faster (crc32c) would be a dependency for one format of one tool.
    left = file.stat().st_size
    with file.open("rb") as stored:
        number = 0
        while left:
            number += 1
            try:
                head = stored.read(12)
                length, check = struct.unpack("<QI", head)
                if masked_crc32c(head[:8]) != check or length + 16 > left:
                    raise ValueError("its length is wrong or it is cut off")
                content = stored.read(length)
                stored.read(4)
                left -= length + 16
                example = dict(_example(content))
            except (ValueError, IndexError, struct.error) as error:
                raise UserError(
                    f"{file}, record {number}, is damaged ({error}). Copy the file again, or make it anew."
                ) from None
            yield example


def masked_crc32c(data: bytes) -> int:
    """Compute the checksum of the format."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_row(value) for value in range(256)]


def _example(content: bytes) -> Iterator[tuple[str, bytes]]:
    for features in _sized(content, 1):
        for entry in _sized(features, 1):
            name = next(_sized(entry, 1), b"").decode()
            for feature in _sized(entry, 2):
                for values in _sized(feature, 1):
                    yield name, next(_sized(values, 1), b"")


def _sized(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the values of one field of a message. Raises ValueError or IndexError for what is none."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, length = key & 7, 0
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == SIZED:
            length, at = _varint(message, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at + length > len(message):
            raise ValueError("a field is cut off")
        if kind == SIZED and key >> 3 == wanted:
            yield message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Read a number: its value, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
