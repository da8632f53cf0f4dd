"""Checks of one record, from untyped fields to values; of where a translation comes from; and the faults.

N captions.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman import texts
from dragoman.arrow import pa, pc
from dragoman.errors import UserError
from dragoman.folders import write_text
from dragoman.languages import canonical_tag
from dragoman.records import ROLES

# Lone surrogates are stray bytes of a file that is not UTF-8, and no Parquet file can hold them.
_UNSAFE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_UNSAFE_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class RecordError(ValueError):
    """One record does not fit: the message names the value, what was expected, and the fix."""


class Rejects:
    """Collection of faults. Without a file, the first one is raised as UserError."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._lines: list[str] = []
        self.first: str | None = None
        """The first fault with its place."""

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, file: str, line: int, reason: str, raw: str | bytes | None) -> None:
        """Note a fault of a line (from 1; 0 is the whole file), or raise it."""
        place = f"{file}, line {line}" if line else file
        self.first = self.first or f"{place}: {reason}"
        if self.file is None:
            raise UserError(f"{place}: {reason} To collect bad lines instead, pass --reject-file FILE.")
        if isinstance(raw, bytes):
            raw = raw.decode("utf-8", "backslashreplace")
        record = {"file": file, "line": line, "reason": reason, "raw": raw}
        # Escapes keep what is no valid Unicode, so that the file can always be written.
        escaped = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self._lines.append(escaped.decode())

    def write(self) -> None:
        """Replace the reject file by what was collected: one JSON object a line, empty where all was well."""
        if self.file is not None:
            write_text(self.file, "".join(f"{line}\n" for line in self._lines))


def text_values(fields: Mapping[str, object], lang: str | None) -> tuple[str, str]:
    """Check the text of an item of the kind `text`, and its language, for which `lang` stands in."""
    text, fault = texts.passage(required(_string(fields, "text"), "text"))
    if fault is not None:
        raise RecordError(fault)
    if fields.get("path") is not None:
        raise RecordError(
            f"the item is a text and has path {_shown(fields['path'])}, but only images and videos lie in "
            "files. Leave path out, or correct kind."
        )
    return text, _lang(fields, lang)


class CaptionValues(NamedTuple):
    """The columns of a caption, in the order of the schema; the id is None where it is to be generated."""

    caption_id: str | None
    item_id: str
    lang: str
    role: str
    text: str
    source_id: str | None
    engine: str | None
    trust: float | None


def caption_values(fields: Mapping[str, object], lang: str | None, role: str | None) -> CaptionValues:
    """Check the caption columns of a record; `lang` and `role` stand in where it has none."""
    item_id = required(name_of(fields, "item_id"), "item_id")
    tag = _lang(fields, lang)
    found_role = required(one_of(fields, "role", ROLES) or role, "role", ", or pass --role")
    source_id = name_of(fields, "source_id")
    is_translated = found_role in ("mt", "back")
    if not is_translated and source_id is not None:
        what = "a description" if found_role == "description" else "a human caption"
        raise RecordError(
            f"{what} has source_id {source_id!r}, but only translations have a source. "
            "Set its role to 'mt' or 'back', or leave source_id out."
        )
    if is_translated and source_id is None:
        raise RecordError(
            f"role is {found_role!r} but there is no source_id. Name the caption it was translated from."
        )
    return CaptionValues(
        name_of(fields, "caption_id"),
        item_id,
        tag,
        found_role,
        _text(fields),
        source_id,
        name_of(fields, "engine"),
        _trust(fields),
    )


def path_of(fields: Mapping[str, object], base: Path) -> str | None:
    """Return the path of an item: URIs stay, others become absolute, relative ones seen from `base`.

    So they stay valid wherever the corpus folder lies and whatever the working folder is.
    """
    path = name_of(fields, "path")
    return path if path is None or "://" in path else os.path.normpath(base / path)


def one_of(fields: Mapping[str, object], key: str, known: tuple[str, ...]) -> str | None:
    """Return a field with few possible values, or None where it is absent."""
    value = fields.get(key)
    if value is not None and value not in known:
        raise RecordError(f"{key} is {_shown(value)}, but one of {', '.join(known)} was expected.")
    return None if value is None else str(value)


def name_of(fields: Mapping[str, object], key: str) -> str | None:
    """Return an identifier, or None where it is absent; integers are taken as their digits."""
    value = fields.get(key)
    # JSON from databases has numbers for ids. Not bool, which Python counts among the integers, and nothing
    # that a reader of JSON with 64 bits would round.
    if type(value) is int and abs(value) < 1 << 63:
        return str(value)
    name = _string(fields, key)
    if name is None:
        return None
    # Names are written one a line into other files.
    if not name or name != name.strip() or (not name.isprintable() and _UNSAFE_IN_NAMES.search(name)):
        raise RecordError(
            f"{key} is {_shown(name)}, but a name without control characters, line breaks and "
            "surrounding blanks was expected."
        )
    return name


def required(value: str | None, key: str, otherwise: str = "") -> str:
    """Return the value. Raises RecordError where it is absent."""
    if value is None:
        raise RecordError(f"{key} is missing. Add it to the record{otherwise}.")
    return value


def checked_metadata(fields: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """Return metadata columns that are present: strings, numbers, booleans, lists of one sort of these."""
    found = {name: fields[name] for name in names if fields.get(name) is not None}
    for name, value in found.items():
        if not name or _UNSAFE_IN_NAMES.search(name):
            raise RecordError(f"{_shown(name)} cannot name a metadata column. Give it a printable name.")
        listed = value if type(value) is list else [value]
        # A list of 1 and 0.5 is one of numbers: Parquet knows one type for a column, and float64 holds
        # both.
        sorts = {float if type(v) is int else type(v) for v in listed}
        plain = len(sorts) < 2 and sorts <= {str, float, bool}
        if not plain or any(type(v) is int and abs(v) >= 1 << 63 for v in listed):
            raise RecordError(
                f"{name} is {_shown(value)}, but a string, a number, true, false or a list of one sort of "
                "these was expected."
            )
        if any(type(v) is float and not math.isfinite(v) for v in listed):
            raise RecordError(f"{name} is {value}, but a finite number was expected.")
        if any(type(v) is str and _UNSAFE.search(v) for v in listed):
            raise RecordError(
                f"{name} is {_shown(value)}: it holds characters that cannot be stored as UTF-8 text."
            )
    return found


def _string(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value
    raise RecordError(f"{key} is {_shown(value)}, but a string was expected.")


def _lang(fields: Mapping[str, object], otherwise: str | None) -> str:
    tag = required(_string(fields, "lang") or otherwise, "lang", ", or pass --lang")
    try:
        return canonical_tag(tag)
    except ValueError as error:
        raise RecordError(str(error)) from None


def _text(fields: Mapping[str, object]) -> str:
    text, fault = texts.caption(required(_string(fields, "text"), "text"))
    if fault is not None:
        raise RecordError(fault)
    return text


def _trust(fields: Mapping[str, object]) -> float | None:
    value = fields.get("trust")
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise RecordError(f"trust is {_shown(value)}, but a number from 0 to 1 was expected.")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 120 else f"{shown[:120]}…"


def source_faults(captions: pa.Table, rejected: Collection[str]) -> dict[int, str]:
    """Find the captions whose source does not fit: row numbers, in order, each with the reason.

    A source must exist, belong to the same item, have another language (mt), or be the translation of a
    caption in this one's language (back); following sources must end at a human caption. `rejected` are the
    ids of captions already refused: what depends on them is refused too.
    """
    column = {name: captions[name] for name in ("caption_id", "item_id", "lang", "role", "source_id")}
    has_source_N = pc.is_valid(column["source_id"]).to_numpy()
    # Row numbers in place of ids from here on, so that each check is one vector operation: corpora have
    # millions of captions.
    source_N = _row_of(column["source_id"], column["caption_id"])
    item_N, lang_N = _codes(column["item_id"]), _codes(column["lang"])
    is_mt_N, is_back_N = (pc.equal(column["role"], role).to_numpy() for role in ("mt", "back"))
    known_N = source_N >= 0
    reasons: dict[int, str] = {}
    bad_N = np.zeros(len(captions), bool)

    def value(name: str, row: int) -> str:
        return str(column[name][int(row)].as_py())

    def refuse(mask_N: NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        # A caption is told its first fault alone; the checks stand in the order in which one explains the
        # next.
        for row in np.flatnonzero(mask_N & ~bad_N).tolist():
            reasons[row] = reason(row)
        bad_N[mask_N] = True

    refuse(has_source_N & ~known_N, lambda row: _absent(value("source_id", row), rejected))
    refuse(
        known_N & (item_N != item_N[source_N]),
        lambda row: (
            f"its source {value('source_id', row)!r} belongs to item {value('item_id', source_N[row])!r}, "
            f"not to {value('item_id', row)!r}. Name a caption of the same item."
        ),
    )
    refuse(
        is_mt_N & known_N & (lang_N == lang_N[source_N]),
        lambda row: (
            f"role is 'mt' and lang {value('lang', row)!r}, but its source {value('source_id', row)!r} has "
            "the same language. A translation needs another one; a way back has the role 'back'."
        ),
    )
    refuse(
        is_back_N & known_N & ~is_mt_N[source_N],
        lambda row: (
            f"role is 'back', but its source {value('source_id', row)!r} has role "
            f"{value('role', source_N[row])!r}. The source of a way back is a translation (mt)."
        ),
    )
    is_description_N = pc.equal(column["role"], "description").to_numpy()
    refuse(
        known_N & is_description_N[source_N],
        lambda row: (
            f"its source {value('source_id', row)!r} is a description, which is never translated. "
            "Name a caption of the same item."
        ),
    )
    origin_N = source_N[source_N]
    refuse(
        is_back_N & known_N & (origin_N >= 0) & (lang_N != lang_N[origin_N]),
        lambda row: (
            f"role is 'back' and lang {value('lang', row)!r}, but the "
            f"original {value('caption_id', origin_N[row])!r} is in {value('lang', origin_N[row])!r}. "
            "A way back ends in the language of the original."
        ),
    )
    refuse(
        ~_rooted(has_source_N, known_N, source_N) & ~_downstream(bad_N, known_N, source_N),
        lambda row: (
            f"its source {value('source_id', row)!r} leads back to itself, never to a human caption. "
            "Correct source_id."
        ),
    )
    refuse(
        _downstream(bad_N, known_N, source_N),
        lambda row: f"its source {value('source_id', row)!r} was rejected.",
    )
    return dict(sorted(reasons.items()))


def copied_descriptions(captions: pa.Table) -> dict[int, str]:
    """Find the descriptions that are captions of their own item by people: row numbers, each with the reason.

    A search for such a caption would find its item by itself, and tell nothing of how well others are found.
    """
    columns = (captions[name].to_pylist() for name in ("role", "item_id", "text"))
    said = [(role, (item_id, text.strip().casefold())) for role, item_id, text in zip(*columns, strict=True)]
    human = {what for role, what in said if role == "human"}
    return {
        row: f"the description {what[1]!r} is a caption that people wrote of this item. Leave it out."
        for row, (role, what) in enumerate(said)
        if role == "description" and what in human
    }


def _absent(source_id: str, rejected: Collection[str]) -> str:
    if source_id in rejected:
        return f"its source {source_id!r} was rejected."
    return f"source_id {source_id!r} is no caption of this corpus. Add that caption, or correct the id."


def _row_of(wanted: pa.ChunkedArray, ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Find the first row of each wanted id; -1 where it is null or absent."""
    row_N = pc.index_in(wanted, value_set=ids.combine_chunks(), skip_nulls=True)
    return np.asarray(pc.fill_null(row_N, -1).to_numpy(), np.int64)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(pc.index_in(column, value_set=column.unique()).to_numpy(), np.int64)


def _parent(known_N: NDArray[np.bool_], source_N: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(known_N, source_N, np.arange(len(source_N)))


def _rooted(
    has_source_N: NDArray[np.bool_], known_N: NDArray[np.bool_], source_N: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell for each caption whether following sources ends."""
    # Steps double each round, so that long chains cost little.
    ancestor_N = _parent(known_N, source_N)
    for _ in range(len(source_N).bit_length()):
        ancestor_N = ancestor_N[ancestor_N]
    return ~has_source_N[ancestor_N]


def _downstream(
    bad_N: NDArray[np.bool_], known_N: NDArray[np.bool_], source_N: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Mark bad captions and all that was translated from them."""
    ancestor_N, reached_N = _parent(known_N, source_N), bad_N
    for _ in range(len(source_N).bit_length()):
        reached_N = reached_N | reached_N[ancestor_N]
        ancestor_N = ancestor_N[ancestor_N]
    return reached_N
