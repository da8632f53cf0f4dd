"""Checks between captions: where a translation says it comes from.

N captions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def source_faults(captions: pa.Table, rejected: Collection[str]) -> dict[int, str]:
    """Find the captions whose source does not fit: row numbers, in order, each with the reason.

    A source must exist, belong to the same item, have another language (mt), or be the translation of a
    caption in this one's language (back); following sources must end at a human caption. `rejected` are the
    ids of captions already refused: what depends on them is refused too.
    """
    column = {name: captions[name] for name in ("caption_id", "item_id", "lang", "role", "source_id")}
    has_source_N = pc.is_valid(column["source_id"]).to_numpy()
    source_N = _row_of(column["source_id"], column["caption_id"])
    item_N, lang_N = _codes(column["item_id"]), _codes(column["lang"])
    is_mt_N, is_back_N = (pc.equal(column["role"], role).to_numpy() for role in ("mt", "back"))
    known_N = source_N >= 0
    reasons: dict[int, str] = {}
    bad_N = np.zeros(len(captions), bool)

    def value(name: str, row: int) -> str:
        return str(column[name][int(row)].as_py())

    def refuse(mask_N: NDArray[np.bool_], reason: Callable[[int], str]) -> None:
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
