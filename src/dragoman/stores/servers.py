"""Parts that stores on a server share: fields for filters, names of tables, addresses without secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError
from dragoman.records import Entry, Scalar
from dragoman.stores.best import scores
from dragoman.stores.checks import is_possible_id
from dragoman.stores.contract import Match
from dragoman.stores.filters import OWN_FIELDS, values_of

MEASURED, MEASURED_HITS = 20, 10
"""Queries at most that recall is measured with, each one pass over all entries, and hits of each."""
RESERVE = 8
"""Candidates fetched beyond those asked for: enough unless many have nearly the same score."""


def fields_of(entry: Entry) -> dict[str, list[Scalar]]:
    """Values of each field that filters compare, those of the entry's own fields among them."""
    found = {name: values_of(entry, name) for name in (*OWN_FIELDS, *entry.metadata)}
    return {name: [plain(value) for value in values] for name, values in found.items() if values}


def plain(value: Scalar) -> Scalar:
    """Equal numbers become the same text: 2.0 is 2, also where a database has but one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def measured(
    found: Sequence[Sequence[Match]], right: Sequence[Sequence[Match]], kind: str
) -> dict[str, object]:
    """Describe the recall of approximate search, for a manifest; `kind` is the noun of the queries."""
    return {f"recall@{MEASURED_HITS}": recall(found, right), "measured_with": f"{len(found)} {kind}"}


def recall(found: Sequence[Sequence[Match]], right: Sequence[Sequence[Match]]) -> float:
    """Share of the right answers that were found, over all queries; 1 where there are none."""
    hits = [
        len({one.item_id for one in a} & {one.item_id for one in b})
        for a, b in zip(found, right, strict=True)
    ]
    return sum(hits) / max(1, sum(map(len, right))) if any(right) else 1.0


def possible(item_ids: Iterable[str]) -> list[str]:
    """The ids among these that an entry can have; a server may stumble over others."""
    return [item_id for item_id in item_ids if is_possible_id(item_id)]


def table_name(name: str) -> str:
    """A generation's name as one that a server takes as it is; different names stay different."""
    if re.fullmatch(r"[a-z0-9_]{1,40}", name):
        return f"dragoman_{name}"
    cleaned = re.sub(r"[^a-z0-9]+", "_", name.lower())[:30].strip("_")
    return f"dragoman_{cleaned}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def require_no_password(url: str, instead: str) -> None:
    """Raise UserError where an address holds a password: settings are written into the index's manifest."""
    if re.search(r"//[^@]*:[^@]+@|password\s*=", url, re.IGNORECASE):
        raise UserError(
            "The setting url holds a password, which would be written into the index. Leave the password out "
            f"and {instead}"
        )


def gone(what: str) -> DamagedError:
    """The error for a table or collection that an index names and the server does not have."""
    return DamagedError(
        f"The server no longer has {what} of this index. Restore it from a backup, or remove the index and "
        "make it again: dragoman index"
    )


class Candidate(NamedTuple):
    """A candidate as a server scored it: in single precision, in an order of addition of its own."""

    item_id: str
    score: float
    vector: NDArray[np.float32]


def rescored(
    query_D: NDArray[np.float32], k: int, fetch: Callable[[int], list[Candidate]], at_most: int | None = None
) -> list[Match]:
    """The k best of what `fetch(n)` gives, which are the n best candidates by the server's scores.

    They are scored again in double precision and rounded, so that a score depends on its two vectors alone,
    and equal ones are in the order of ids, on every store. More are fetched until those left out cannot be
    among the k best, or until there are `at_most`.
    """
    if k < 1:
        return []
    # Twice what the rounding of two sums of D products can come to on a server, D * 2**-24 * |query| each.
    margin = 2.0**-22 * len(query_D) * float(np.linalg.norm(query_D))
    count = k + RESERVE
    found = fetch(count)
    while len(found) == count and found[k - 1].score - found[-1].score <= margin:
        if at_most is not None and count >= at_most:
            break
        # Many times more at once: each fetch is a search anew, and many equal scores need all of them.
        count *= 4
        found = fetch(count)
    if not found:
        return []
    rows_C = np.arange(len(found))
    score_C = scores(np.stack([one.vector for one in found]), query_D[None], np.zeros_like(rows_C), rows_C)
    scored = [Match(one.item_id, score) for one, score in zip(found, score_C.tolist(), strict=True)]
    return sorted(scored, key=lambda match: (-match.score, match.item_id))[:k]
