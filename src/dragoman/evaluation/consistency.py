"""Consistency: does the same picture rank the same, whichever language asks?

N instances, K languages, L listed hits. r_jk is the rank of instance j in language k.

| key | definition |
|---|---|
| mrv_var | mean over instances of the variance of r_jk over languages, population form |
| mrv_std | mean over instances of its square root; what the code of CCR^k (KDD 2024) prints as MRV |
| *_clipped | the same of min(r_jk, 11): all ranks beyond the first ten count as equal |
| *_log | the same of the natural logarithm of r_jk |
| median_std | median over instances of the standard deviation |
| overlap@k | mean over instances and pairs of languages of the share of the k best hits that both list |
| jaccard@k | the same of shared hits over hits that either lists |

A model that ranks everything badly in every language has a low mrv_var: recall belongs beside it.

An instance is an item where images are the queries, and an item with a caption slot where captions are; it is
joined by id and never by row. Its ranks in two languages may stand beside each other only if both come from
the same gallery. So first `common_ids`, then ranks, then `join_ranks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError

# One rank more than users look at: all places beyond the first ten count as equal.
CLIP = 11
CUTOFFS = (1, 10)
MRV = ("mrv_std", "mrv_std_clipped", "mrv_std_log")
"""Told together, always: the first falls and the second rises with recall, and the last favours models that
rank everything badly."""
VARIANCES = tuple(f"mrv_{form}{scale}" for scale in ("", "_clipped", "_log") for form in ("std", "var"))
OVERLAPS = tuple(f"{name}@{cutoff}" for name in ("overlap", "jaccard") for cutoff in CUTOFFS)
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


def mean_rank_variance(ranks: ArrayLike) -> dict[str, float]:
    """Measure how much ranks differ between languages: `mrv_var` and `mrv_std`, both 0 where all agree.

    ranks: [instances, languages], from 1, complete; each row is one instance in the same gallery. Join by id
    with `dragoman.evaluation.join_ranks`: rows that were merely counted may hold different pictures.

    With an even number of languages mrv_std is at most (G - 1) / 2 and mrv_var its square, G being the size
    of the gallery; always mrv_std ** 2 <= mrv_var. Raises UserError for ranks that are missing, NaN, infinite
    or below 1. Definition: Nie et al., KDD 2024 (mrv_std as their code computes it).
    """
    values = rank_values(_complete(ranks))
    return {name: float(values[name].mean()) for name in ("mrv_var", "mrv_std")}


def rank_values(ranks_NK: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Give what each instance adds to the means `VARIANCES`: one array [N] each."""
    scales = {"": ranks_NK, "_clipped": np.minimum(ranks_NK, CLIP), "_log": np.log(ranks_NK)}
    values: dict[str, NDArray[np.float64]] = {}
    for scale, scaled_NK in scales.items():
        # Counted from the first language, so that equal logarithms give 0 and not their rounding.
        variance_N = (scaled_NK - scaled_NK[:, :1]).var(axis=1)
        values |= {f"mrv_std{scale}": np.sqrt(variance_N), f"mrv_var{scale}": variance_N}
    return values


def instance_values(joined: Joined) -> dict[str, NDArray[np.float64]]:
    """Give `rank_values`, with `OVERLAPS` where hits are listed and there are two languages or more."""
    values = rank_values(joined.ranks)
    if joined.top is not None and len(joined.languages) > 1:
        for cutoff in CUTOFFS:
            overlap_N, jaccard_N = top_overlap(joined.top, min(cutoff, joined.top.shape[2]))
            values |= {f"overlap@{cutoff}": overlap_N, f"jaccard@{cutoff}": jaccard_N}
    return {name: values[name] for name in (*VARIANCES, *OVERLAPS) if name in values}


def top_overlap(top_KNL: ArrayLike, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure overlap [N] and Jaccard index [N] of the k best hits, means over all pairs of languages.

    top_KNL: ids of the hits by language and instance, best first, equal scores by ascending id. By chance,
    two lists overlap by k / gallery. Raises UserError for fewer than two languages or k hits, or a hit listed
    twice.
    """
    given = np.asarray(top_KNL)
    if given.ndim != 3 or len(given) < 2 or given.shape[2] < k or k < 1:
        raise UserError(
            f"Hits of shape {given.shape} given for k = {k}; expected [languages, instances, hits], with two "
            "languages or more and k hits or more."
        )
    _, number = np.unique(given.ravel(), return_inverse=True)
    top_KNk = number.reshape(given.shape)[:, :, :k]
    if (np.diff(np.sort(top_KNk, axis=2), axis=2) == 0).any():
        raise UserError("A list of hits names the same id twice; each may stand once.")
    pairs = list(combinations(top_KNk, 2))
    both_PN = np.array([(a[:, :, None] == b[:, None, :]).sum(axis=(1, 2)) for a, b in pairs], np.float64)
    overlap_N: NDArray[np.float64] = (both_PN / k).mean(axis=0)
    jaccard_N: NDArray[np.float64] = (both_PN / (2 * k - both_PN)).mean(axis=0)
    return overlap_N, jaccard_N


def spread(by_language: Mapping[str, float], source: str) -> dict[str, Any]:
    """Measure how evenly languages are served by one figure of which more is better.

    Returns `min` with `min_language` (of equals the first by name), `max`, `range`, population `std`, the
    macro mean over languages `mean`, and `mean_without_source`, null where the source language is alone.
    """
    values = np.array(list(by_language.values()), np.float64)
    lowest = min(sorted(by_language), key=lambda language: by_language[language])
    others = [value for language, value in by_language.items() if language != source]
    return {
        "min": float(values.min()),
        "min_language": lowest,
        "max": float(values.max()),
        "range": float(values.max() - values.min()),
        "std": float(values.std()),
        "mean": float(values.mean()),
        "mean_without_source": float(np.mean(others)) if others else None,
    }


def _complete(ranks: ArrayLike) -> NDArray[np.float64]:
    try:
        ranks_NK = np.asarray(ranks, np.float64)
    except (TypeError, ValueError):
        ranks_NK = np.empty(0)
    if ranks_NK.ndim != 2 or 0 in ranks_NK.shape:
        raise UserError(
            f"Ranks of shape {np.asarray(ranks, object).shape} given; expected numbers [instances, "
            "languages], both above 0, and one for every language of every instance."
        )
    bad_NK = ~(np.isfinite(ranks_NK) & (ranks_NK >= 1))
    if bad_NK.any():
        row, column = (int(one) for one in np.argwhere(bad_NK)[0])
        raise UserError(
            f"The rank of instance {row} in language {column} (counted from 0) is {ranks_NK[row, column]:g}. "
            "Ranks must be complete, from 1 to the size of the gallery: behind a re-ranked block, keep the "
            "order of the first stage; drop an instance that one language lacks in all of them."
        )
    return ranks_NK
