"""Uncertainty of retrieval metrics, with the image as the unit of resampling.

All captions of an image move together, for they succeed and fail together. Ranks are never recomputed.

Q queries, N images, M measures, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

# SciPy and statsmodels have these tests, but not grouped by image; and this package needs NumPy alone.
RESAMPLES = 2_000
FLIPS = 10_000
CONFIDENCE = 0.95
EXACT_UP_TO = 12
"""With so many images or fewer, all sign flips are enumerated."""
_CHUNK = 250


def image_sums(values_QM: ArrayLike, image_Q: NDArray[np.int64], images: int) -> NDArray[np.float64]:
    """Sum values [Q, M] over the queries of each image, as [N, M]; `image_Q` numbers the images from 0."""
    values = np.asarray(values_QM, np.float64)
    sums_NM = np.zeros((images, values.shape[1]))
    # Not `sums_NM[image_Q] += …`, which counts an image with several captions once.
    np.add.at(sums_NM, image_Q, values)
    return sums_NM


def bootstrap_means(
    values_QM: ArrayLike, image_Q: NDArray[np.int64], images: int, *, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Take means [R, M] over the queries of resampled images; equal seeds and N give equal resamples."""
    values = np.asarray(values_QM, np.float64)
    # A resample holds a varying number of queries, by which its sums are divided.
    with_counts = np.column_stack([values, np.ones(len(values))])
    sums_NM = image_sums(with_counts, image_Q, images)
    drawn = np.concatenate([times_RN @ sums_NM for times_RN in _draws(images, seed, resamples)])
    means_RM: NDArray[np.float64] = drawn[:, :-1] / drawn[:, -1:]
    return means_RM


def bootstrap_medians(
    values_Q: NDArray[np.float64],
    image_Q: NDArray[np.int64],
    images: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """Take medians [R] over the queries of resampled images, the same resamples as for the means."""
    # A weighted median: sort once, and count each value as often as its image was drawn.
    order = np.argsort(values_Q, kind="stable")
    ordered_Q, image_ordered_Q = values_Q[order], image_Q[order]
    medians = []
    for times_RN in _draws(images, seed, resamples):
        for times_N in times_RN.astype(np.int64):
            upto_Q = np.cumsum(times_N[image_ordered_Q])
            # The two middle values, which are one where the number is odd.
            middle = [(upto_Q[-1] - 1) // 2 + 1, upto_Q[-1] // 2 + 1]
            medians.append(ordered_Q[np.searchsorted(upto_Q, middle)].mean())
    return np.array(medians)


def interval(samples_R: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the percentile interval of bootstrap samples."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(samples_R, [tail, 100 - tail])
    return float(low), float(high)


def sign_flip(differences_NM: ArrayLike, *, seed: int, flips: int = FLIPS) -> NDArray[np.float64]:
    """Give two-sided p values [M] of the paired permutation test on sums of per-image differences [N, M].

    Exact by enumeration up to `EXACT_UP_TO` images, else (1 + #{|flipped| >= |observed|}) / (1 + flips).
    """
    differences = np.asarray(differences_NM, np.float64)
    # Sums of the same numbers in another order differ by rounding; they must count as equal.
    needed_M = np.abs(differences.sum(axis=0)) - 1e-9 * np.abs(differences).sum(axis=0)
    if len(differences) <= EXACT_UP_TO:
        signs = np.array(list(product((1.0, -1.0), repeat=len(differences))))
        exact: NDArray[np.float64] = (np.abs(signs @ differences) >= needed_M).mean(axis=0)
        return exact
    random = np.random.default_rng(seed)
    reached_M = np.zeros(differences.shape[1])
    for size in _chunks(flips):
        signs = 2.0 * random.integers(0, 2, (size, len(differences)), np.int8) - 1
        reached_M += (np.abs(signs @ differences) >= needed_M).sum(axis=0)
    # What was observed is one of the flips, so that p is never 0.
    p_M: NDArray[np.float64] = (1 + reached_M) / (1 + flips)
    return p_M


def mcnemar(hit_a_Q: NDArray[np.bool_], hit_b_Q: NDArray[np.bool_]) -> float:
    """Test by McNemar's exact two-sided test whether queries that only one system answers fall evenly."""
    only_a, only_b = int((hit_a_Q & ~hit_b_Q).sum()), int((hit_b_Q & ~hit_a_Q).sum())
    fewer, all_ = min(only_a, only_b), only_a + only_b
    # Whole numbers until the last division, so nothing is rounded on the way.
    ways = sum(comb(all_, hits) for hits in range(fewer + 1))
    return min(1.0, 2 * ways / (1 << all_))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust a family of p values by Holm's step-down method, in the given order."""
    order = np.argsort(p_values, kind="stable")
    factors = len(order) - np.arange(len(order))
    # A larger p value is never adjusted below a smaller one.
    stepped = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    adjusted = np.empty(len(order))
    adjusted[order] = stepped
    return [float(p) for p in adjusted]


def _draws(images: int, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Draw images with replacement: how often each is drawn, [chunk, N] at a time."""
    random = np.random.default_rng(seed)
    for size in _chunks(resamples):
        drawn = [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(size)]
        yield np.array(drawn, np.float64)


def _chunks(total: int) -> Iterator[int]:
    for start in range(0, total, _CHUNK):
        yield min(_CHUNK, total - start)
