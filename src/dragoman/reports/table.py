"""One line per query, from which every number of a report is computed.

Q queries, K listed hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.evaluation.ranks import Ranks

QUERIES = "queries.parquet"
COMMON_QUERIES = "consistency.parquet"
"""Queries that several languages have in common, ranked among what they have in common."""
LISTED = 10

SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), nullable=False),
        pa.field("seed", pa.int64()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("direction", pa.string(), nullable=False),
        pa.field("qid", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("slot", pa.int64()),
        pa.field("rank", pa.float64(), nullable=False),
        pa.field("positive_ranks", pa.list_(pa.float64()), nullable=False),
        pa.field("gallery", pa.int64(), nullable=False),
        pa.field("top_ids", pa.list_(pa.string()), nullable=False),
        pa.field("top_scores", pa.list_(pa.float32()), nullable=False),
    ]
)
"""`qid` is the caption's id, or the item's where images are the queries; `slot` is null for images."""


def query_table(
    ranks: Ranks,
    *,
    qids: Sequence[str],
    items: Sequence[str],
    slots: Sequence[int] | None,
    gallery_ids: Sequence[str],
    **same: Any,
) -> pa.Table:
    """The lines of one row in one direction; `same` holds the columns that are equal in all of them."""
    queries = len(qids)
    top_QK = ranks.top_index[:, :LISTED]
    columns: dict[str, Any] = {name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), queries)
                               for name, value in same.items()}  # fmt: skip
    columns |= {
        "qid": pa.array(qids, pa.string()),
        "item_id": pa.array(items, pa.string()),
        "slot": pa.nulls(queries, pa.int64()) if slots is None else pa.array(slots, pa.int64()),
        "rank": pa.array(ranks.best),
        "positive_ranks": _lists(ranks.start, pa.array(ranks.rho)),
        "gallery": pa.repeat(pa.scalar(ranks.gallery, pa.int64()), queries),
        "top_ids": _rectangle(top_QK, pa.array(gallery_ids, pa.string()).take(pa.array(top_QK.ravel()))),
        "top_scores": _rectangle(top_QK, pa.array(ranks.top_score[:, :LISTED].ravel())),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def part(table: pa.Table, language: str, row: str, direction: str) -> pa.Table:
    """The lines of one row in one language and direction, in the order of their query ids."""
    wanted = (
        (pc.field("language") == language) & (pc.field("row") == row) & (pc.field("direction") == direction)
    )
    return table.filter(wanted).sort_by("qid")


def ranks_of(table: pa.Table) -> Ranks:
    """The complete ranks that a part of the table holds."""
    lists = table["positive_ranks"].combine_chunks()
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nothing = np.empty((len(table), 0))
    gallery = table["gallery"][0].as_py()
    rho = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return Ranks(start, rho, gallery, nothing.astype(np.int64), nothing.astype(np.float32))


def _lists(start: NDArray[np.int64], values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), values)


def _rectangle(shape_of: NDArray[np.int64], values: pa.Array) -> pa.Array:
    queries, listed = shape_of.shape
    return _lists(np.arange(queries + 1) * listed, values)
