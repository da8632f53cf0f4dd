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
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError
from dragoman.evaluation.instances import Joined

# One rank more than users look at: all places beyond the first ten count as equal.
CLIP = 11
CUTOFFS = (1, 10)
VARIANCES = tuple(f"mrv_{form}{scale}" for scale in ("", "_clipped", "_log") for form in ("std", "var"))
OVERLAPS = tuple(f"{name}@{cutoff}" for name in ("overlap", "jaccard") for cutoff in CUTOFFS)


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
