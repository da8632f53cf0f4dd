"""Records of TensorFlow, as img2dataset writes them with `--output_format tfrecord`, without TensorFlow.

A file is a row of records: length (8 bytes), its checksum (4), content, the content's checksum (4). What it
holds is a `tf.train.Example`: a map from names to lists of bytes, floats or integers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from dragoman.errors import UserError

VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of storage of a field of a protocol buffer."""


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
