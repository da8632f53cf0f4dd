"""Instances that several languages share, joined by id and never by row.

An instance is an item where images are the queries, and an item with a caption slot where captions are. Its
ranks in two languages may stand beside each other only if both come from the same gallery. So first
`common_ids`, then ranks, then `join_ranks`.

N instances, K languages, L listed hits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError

SHOWN = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranked:
    """Ranks of the instances of one language, in any order."""

    ids: Sequence[Hashable]
    """[N]"""
    ranks: ArrayLike
    """[N], complete: 1 to `gallery`, in halves."""
    gallery: int
    top_ids: Sequence[Sequence[str]] | None = None
    """[N, L], the best hits of each instance, best first, ties by ascending id; ten, or all there are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Joined:
    """The same instances in all languages."""

    languages: list[str]
    ids: list[Any]
    """[N], ascending."""
    ranks: NDArray[np.float64]
    """[N, K]"""
    gallery: int
    top: NDArray[np.int64] | None
    """[K, N, L] numbers that stand for the ids of the best hits: everywhere the same for the same id."""


def common_ids(by_language: Mapping[str, Iterable[Hashable]]) -> list[Any]:
    """Find the ids that every language has, ascending; one that a language lacks is dropped in all.

    Raises UserError where a language names an id twice.
    """
    sets = [_unique(language, list(ids)) for language, ids in by_language.items()]
    common: set[Any] = set.intersection(*sets) if sets else set()
    return sorted(common)


def join_ranks(by_language: Mapping[str, Ranked]) -> Joined:
    """Put the ranks of all languages beside each other.

    Raises UserError where languages rank different instances or galleries, where an id stands twice, or where
    ranks are not complete.
    """
    if not by_language:
        raise UserError("No language given; ranks of one or more were expected.")
    for language, ranked in by_language.items():
        _unique(language, ranked.ids)
        _require_complete(language, ranked)
    _require_same(by_language)
    ids = common_ids({language: ranked.ids for language, ranked in by_language.items()})
    columns, lists = [], []
    for ranked in by_language.values():
        place = {one: row for row, one in enumerate(ranked.ids)}
        rows_N = np.array([place[one] for one in ids], np.int64)
        columns.append(np.asarray(ranked.ranks, np.float64)[rows_N])
        if ranked.top_ids is not None:
            lists.append([ranked.top_ids[row] for row in rows_N])
    return Joined(
        languages=list(by_language),
        ids=ids,
        ranks=np.stack(columns, axis=1),
        gallery=next(iter(by_language.values())).gallery,
        top=_numbered(lists) if len(lists) == len(by_language) else None,
    )


def _unique(language: str, ids: Sequence[Hashable]) -> set[Hashable]:
    if twice := [one for one, count in Counter(ids).items() if count > 1]:
        raise UserError(f"{language} names {_listed(twice)} more than once; each instance may stand once.")
    return set(ids)


def _require_complete(language: str, ranked: Ranked) -> None:
    ranks_N = np.asarray(ranked.ranks, np.float64)
    if ranks_N.shape != (len(ranked.ids),):
        raise UserError(f"{language} has {len(ranked.ids)} ids, but ranks of shape {ranks_N.shape}.")
    inside_N = (ranks_N >= 1) & (ranks_N <= ranked.gallery)
    if not inside_N.all():
        row = int(np.flatnonzero(~inside_N)[0])
        raise UserError(
            f"The {language} rank of {ranked.ids[row]!r} is {ranks_N[row]:g}, but the gallery has "
            f"{ranked.gallery} entries. Ranks must be complete (1 to {ranked.gallery}): behind a re-ranked "
            "block, keep the order of the first stage."
        )


def _require_same(by_language: Mapping[str, Ranked]) -> None:
    (first, one), *others = by_language.items()
    for language, other in others:
        mine, theirs = set(one.ids), set(other.ids)
        if mine != theirs:
            only = [name for name, some in [(first, mine - theirs), (language, theirs - mine)] if some]
            example = sorted(mine ^ theirs, key=str)
            raise UserError(
                f"{first} and {language} rank different instances: they share {len(mine & theirs)}; "
                f"{len(mine - theirs)} only in {first}, {len(theirs - mine)} only in {language} "
                f"(in {' and '.join(only)} alone: {_listed(example)}). Take those that all languages have "
                "(dragoman.evaluation.common_ids), and rank them again against the gallery of these "
                "alone. `dragoman evaluate` does so."
            )
        if one.gallery != other.gallery:
            raise UserError(
                f"{first} was ranked against {one.gallery} entries and {language} against {other.gallery}; "
                "ranks against different galleries cannot be compared. Intersect the galleries, then rank."
            )


def _numbered(lists_KNL: Sequence[Sequence[Sequence[str]]]) -> NDArray[np.int64]:
    lengths = {len(hits) for lists_NL in lists_KNL for hits in lists_NL}
    if len(lengths) > 1:
        raise UserError(f"Lists of hits have different lengths: {sorted(lengths)}. Equal lengths expected.")
    ids_KNL = np.array(lists_KNL, dtype=object)
    _, number = np.unique(ids_KNL.ravel(), return_inverse=True)
    return number.reshape(ids_KNL.shape).astype(np.int64)


def _listed(ids: Sequence[Hashable]) -> str:
    return ", ".join(map(str, ids[:SHOWN])) + (" ..." if len(ids) > SHOWN else "")
