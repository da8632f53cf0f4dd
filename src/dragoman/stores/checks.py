"""Checks of entries, vectors and queries, so that every store refuses the same in the same words.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.records import KINDS, Entry

MAX_ID_BYTES = 512
MAX_NAME_BYTES = 256
"""Longest name of a field of metadata, and of a language."""
MAX_TEXT_BYTES = 65_536
"""Longest value of metadata, caption, path and source."""
# Vectors that went through float16 pass: its rounding changes a length by at most 2**-11.
UNIT_TOLERANCE = 1e-3

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_entries(entries: Sequence[Entry]) -> None:
    """Raise UserError for the first entry that is malformed, or whose id another of them has."""
    seen: set[str] = set()
    for entry in entries:
        check_entry(entry)
        if entry.item_id in seen:
            raise UserError(f"The id {entry.item_id!r} is there twice. Give every item an id of its own.")
        seen.add(entry.item_id)


def check_entry(entry: Entry) -> None:
    """Raise UserError where an id, a field of metadata or a caption cannot be stored by every store."""
    _check_text(entry.item_id, "An item has an id", MAX_ID_BYTES, plain=True)
    whose = f"The item {entry.item_id!r}"
    if entry.kind not in KINDS:
        raise UserError(f"{whose} has the kind {entry.kind!r}; expected one of: {', '.join(KINDS)}.")
    if entry.path is not None:
        _check_text(entry.path, f"{whose} has a path", MAX_TEXT_BYTES, plain=True)
    _check_text(entry.source, f"{whose} has a source", MAX_TEXT_BYTES, plain=True, empty=True)
    for name, value in entry.metadata.items():
        check_field(name, value, whose)
    for lang, text in entry.captions.items():
        check_caption(lang, text, whose)
    _check_kind(entry, whose)
    for lang in entry.machine - entry.captions.keys():
        raise UserError(f"{whose} is said to have a machine's caption ({lang}), but has none.")
    for lang, texts in entry.more_captions.items():
        if lang not in entry.captions:
            raise UserError(f"{whose} has further captions ({lang}), but no first one. Put it into captions.")
        for text in texts:
            check_caption(lang, text, whose)


def _check_kind(entry: Entry, whose: str) -> None:
    """Raise UserError where an entry is a text and has none, or is none and has one."""
    if entry.kind != "text":
        if entry.lang is not None:
            raise UserError(f"{whose} is no text, but one ({entry.lang}) is said to be it. Leave lang out.")
        return
    if entry.lang is None or entry.lang not in entry.captions or entry.lang in entry.machine:
        raise UserError(
            f"{whose} is a text, but holds none. Give its language as lang, and the text as its first "
            "caption, by people."
        )
    if entry.path is not None or "kind" in entry.metadata:
        raise UserError(f"{whose} is a text, which has no path, and no field of metadata called kind.")


def check_field(name: str, value: object, whose: str) -> None:
    """Raise UserError, that `whose` item has it, for a field of metadata that cannot be stored."""
    _check_text(name, f"{whose} has a field of metadata whose name", MAX_NAME_BYTES, plain=True)
    values = value if isinstance(value, tuple) else (value,)
    if not values:
        raise UserError(f"{whose} has no value in the field {name!r}. Leave the field out.")
    for one in values:
        _check_value(one, f"{whose}, field {name!r},")


def check_caption(lang: str, text: str, whose: str) -> None:
    """Raise UserError, that `whose` item has it, for a caption that cannot be stored."""
    _check_text(lang, f"{whose} has a caption whose language", MAX_NAME_BYTES, plain=True)
    _check_text(text, f"{whose} has a caption ({lang})", MAX_TEXT_BYTES, empty=True)


def checked_vectors(
    vectors: NDArray[np.float32], entries: Sequence[Entry], width: int
) -> NDArray[np.float32]:
    """The vectors [N, D] as contiguous float32. Raises UserError unless there is one finite vector of unit
    length for each entry."""
    vectors_ND = _matrix(vectors, width)
    if len(vectors_ND) != len(entries):
        raise UserError(f"{len(entries)} items came with {len(vectors_ND)} vectors; give one for each.")
    length_N = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND, dtype=np.float64))
    # The comparison is false for NaN, so it finds what is not finite as well.
    wrong = np.flatnonzero(~(np.abs(length_N - 1) <= UNIT_TOLERANCE))
    if len(wrong):
        first = int(wrong[0])
        state = f"has length {length_N[first]:.4g}" if math.isfinite(length_N[first]) else "is not finite"
        raise UserError(
            f"The vector of item {entries[first].item_id!r} {state}; vectors are of length 1. "
            "Divide each by its norm."
        )
    return vectors_ND


def checked_queries(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Query vectors [Q, D] as contiguous float32. Raises UserError where one is not finite or not D wide."""
    vectors_QD = _matrix(vectors, width)
    if not np.isfinite(vectors_QD).all():
        row = int(np.flatnonzero(~np.isfinite(vectors_QD).all(axis=1))[0])
        raise UserError(f"The query vector {row} is not finite. Encode the query again.")
    return vectors_QD


def is_possible_id(item_id: str) -> bool:
    """True for ids that a store may hold; asking a database for others may be an error of its own."""
    try:
        _check_text(item_id, "An id", MAX_ID_BYTES, plain=True)
    except UserError:
        return False
    return True


def check_after(after: str) -> None:
    """Raise UserError where a walk cannot begin after this text."""
    _check_text(after, "The walk begins after an id", MAX_ID_BYTES, plain=True, empty=True)


def shown(item_ids: Iterable[str], at_most: int = 3) -> str:
    """Ids for a message: the first few, and how many more there are."""
    every = list(item_ids)
    more = f" and {len(every) - at_most:,} more" if len(every) > at_most else ""
    return ", ".join(map(repr, every[:at_most])) + more


def already_there(item_ids: Iterable[str]) -> UserError:
    """The error of `add` for ids that a store holds already."""
    return UserError(f"The index holds {shown(item_ids)} already. Replace entries by update, not add.")


def not_there(item_ids: Iterable[str]) -> UserError:
    """The error of `update` for ids that a store does not hold."""
    return UserError(f"The index does not hold {shown(item_ids)}. Store new entries by add, not update.")


def _matrix(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    given = np.asarray(vectors)
    if given.ndim != 2 or given.shape[1] != width or given.dtype.kind != "f":
        shape = "x".join(map(str, given.shape)) or "a single value"
        raise UserError(
            f"The vectors are {shape} of {given.dtype}; this index takes rows of {width} float32 values. "
            "Encode with the model that the index was built with."
        )
    return np.ascontiguousarray(given, dtype=np.float32)


def _check_value(value: object, where: str) -> None:
    if isinstance(value, str):
        _check_text(value, f"{where} has a text", MAX_TEXT_BYTES, empty=True)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise UserError(f"{where} has the number {value}, which does not fit 64 bits. Store it as text.")
    elif not isinstance(value, float):
        raise UserError(
            f"{where} has a value of type {type(value).__name__}; expected a text, a number, true or false, "
            "or a tuple of such."
        )
    elif not math.isfinite(value):
        raise UserError(f"{where} has the number {value}, which is not finite. Leave the field out.")


def _check_text(text: object, what: str, most: int, *, plain: bool = False, empty: bool = False) -> None:
    """`plain` text is one line: it goes into file names, addresses and messages."""
    if not isinstance(text, str):
        raise UserError(f"{what} that is {type(text).__name__}, not text.")
    if not text and not empty:
        raise UserError(f"{what} that is empty. Give it a name of 1 to {most} bytes.")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise UserError(f"{what} that is no valid Unicode: {text[:60]!a}. Remove lone surrogates.") from None
    if length > most:
        raise UserError(f"{what} of {length:,} bytes; at most {most:,} are stored: {text[:30]!r}…")
    if "\0" in text or (plain and _CONTROL.search(text)):
        raise UserError(f"{what} with control characters: {text[:60]!r}. Remove them.")
