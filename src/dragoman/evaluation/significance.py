"""Uncertainty of retrieval metrics over test images, and over the seeds of the training.

All captions of an image move together, for they succeed and fail together. Ranks are never recomputed.

The hierarchical bootstrap draws images with replacement, the same for every seed and system. Around the mean
that the seeds have on these images it draws what other seeds would bring: Student's t with S - 1 degrees of
freedom, scaled by the standard error of the seeds on the same images. Seeds are not drawn with replacement
themselves: resamples of three values never leave their range, which misses the truth one time in four. Where
images are beyond number, this is the t interval over seeds; where seeds agree, the bootstrap over images.

Q queries, N images, M measures, R resamples, S seeds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import UserError

# SciPy and statsmodels have these tests, but not grouped by image; and this package needs NumPy alone.
RESAMPLES = 2_000
FLIPS = 10_000
CONFIDENCE = 0.95
EXACT_UP_TO = 12
"""With so many images or fewer, all sign flips are enumerated."""
SEED_DRAWS = 10
"""Draws of other seeds for each resample of images."""
OVER_IMAGES = "images"
OVER_SEEDS = "images and seeds"
_CHUNK = 250


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds and queries, or a difference of two, and how far it is known."""

    value: float
    interval: tuple[float, float]
    """95 %."""
    p: float
    """Two-sided, of the hypothesis that the truth is 0."""
    over: str
    """Things that could be others: `OVER_IMAGES` alone, or `OVER_SEEDS`."""


def hierarchical_interval(
    values: ArrayLike,
    items: Sequence[Hashable],
    baseline: ArrayLike | None = None,
    *,
    paired: bool = True,
    seed: int = 0,
) -> Estimate:
    """Estimate a mean over seeds and queries, or its difference to that of a baseline.

    values: [seeds, queries], what each query adds to a figure under each training seed, such as
    `Metric("recall@5").values(ranks)`. items: the image of each query. baseline: [its seeds, queries], over
    the same queries in the same order. paired: both have the same seeds in the same order; else their seeds
    vary independently. seed: that of the resamples; equal ones give equal intervals.

    With one seed on either side nothing is known of other seeds: the interval is over images alone, and
    `over` says so. p is by sign flips over images then, else from the resamples, so that it is below 0.05
    where the interval leaves 0 out. Raises UserError for values that do not fit.
    """
    ours_SQ = _seed_values(values, len(items))
    sides = [ours_SQ] if baseline is None else [ours_SQ, _seed_values(baseline, len(items))]
    if paired and len({len(side) for side in sides}) > 1:
        raise UserError(
            f"Values of {len(sides[0])} seeds and a baseline of {len(sides[1])} cannot be paired by seed. "
            "Give equal seeds in equal order, or say paired=False."
        )
    numbers = {item: number for number, item in enumerate(dict.fromkeys(items))}
    image_Q = np.array([numbers[item] for item in items])
    parts = [bootstrap_seeds(side[:, :, None], image_Q, len(numbers), seed=seed)[:, :, 0] for side in sides]
    means = [side.mean(axis=0) for side in sides]
    gain_Q = means[0] - means[1] if len(sides) > 1 else means[0]
    if min(map(len, sides)) == 1:
        means_R = [part.mean(axis=0) for part in parts]
        sample_R = means_R[0] - means_R[1] if len(sides) > 1 else means_R[0]
        p = float(sign_flip(image_sums(gain_Q[:, None], image_Q, len(numbers)), seed=seed)[0])
        return Estimate(value=float(gain_Q.mean()), interval=interval(sample_R), p=p, over=OVER_IMAGES)
    if len(sides) > 1:
        parts = [parts[0] - parts[1]] if paired else [parts[0], -parts[1]]
    sample_R = over_seeds(parts, seed=seed)
    return Estimate(
        value=float(gain_Q.mean()), interval=interval(sample_R), p=p_of_samples(sample_R), over=OVER_SEEDS
    )


def _seed_values(values: ArrayLike, queries: int) -> NDArray[np.float64]:
    values_SQ = np.asarray(values, np.float64)
    if values_SQ.ndim != 2 or values_SQ.shape[1] != queries or 0 in values_SQ.shape:
        raise UserError(
            f"Values of shape {values_SQ.shape} given for {queries} queries; expected [seeds, queries], both "
            "above 0, with an item for each query."
        )
    if not np.isfinite(values_SQ).all():
        raise UserError("Some values are NaN or infinite. Give every query a value under every seed.")
    return values_SQ


def bootstrap_seeds(
    values_SQM: NDArray[np.float64],
    image_Q: NDArray[np.int64],
    images: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """Take means [S, R, M] over the queries of resampled images, which are the same for all seeds."""
    seeds, queries, measures = values_SQM.shape
    values_Q = values_SQM.transpose(1, 0, 2).reshape(queries, seeds * measures)
    means_R = bootstrap_means(values_Q, image_Q, images, seed=seed, resamples=resamples)
    return means_R.reshape(-1, seeds, measures).transpose(1, 0, 2)


def over_seeds(parts_SR: Sequence[NDArray[np.float64]], *, seed: int) -> NDArray[np.float64]:
    """Draw the sum of the parts' means over seeds, as other seeds would have it: `SEED_DRAWS` x R samples.

    parts_SR: means by seed and resample of images; seeds of different parts vary independently, and a part of
    one row has no seeds that could be others.
    """
    drawn_DR = np.zeros((SEED_DRAWS, parts_SR[0].shape[1]))
    for number, part_SR in enumerate(parts_SR):
        drawn_DR += part_SR.mean(axis=0)
        if (seeds := len(part_SR)) > 1:
            # All quantiles in an order drawn at random: no luck in the tails, which are long.
            t = student((np.arange(drawn_DR.size) + 0.5) / drawn_DR.size, seeds - 1)
            t = np.random.default_rng([seed, number]).permutation(t).reshape(drawn_DR.shape)
            drawn_DR += t * part_SR.std(axis=0, ddof=1) / np.sqrt(seeds)
    return drawn_DR.ravel()


def p_of_samples(samples_R: NDArray[np.float64]) -> float:
    """Give the two-sided p value of 0 from bootstrap samples: twice the share on its farther side."""
    beyond = min(int((samples_R <= 0).sum()), int((samples_R >= 0).sum()))
    return min(1.0, 2 * (1 + beyond) / (1 + len(samples_R)))


def t_interval(values_S: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the t interval of the mean of independent values, such as one figure for each seed.

    Raises UserError for fewer than two values.
    """
    values = np.asarray(values_S, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise UserError(f"An interval over seeds needs two values or more, got {values.tolist()}.")
    width = student(np.array([(1 + confidence) / 2]), len(values) - 1)[0]
    error = width * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - error), float(values.mean() + error)


def student(shares: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    """Give the quantiles of Student's t distribution at shares strictly between 0 and 1."""
    # With t = sqrt(freedom) tan(angle), the density over the angle is cos(angle) ** (freedom - 1): a finite
    # range, so the integral is a sum; and half of it suffices, as it is symmetric.
    angle = np.linspace(0, np.pi / 2, 100_001)
    density = np.cos(angle) ** (freedom - 1)
    below = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    away = np.abs(shares - 0.5) * 2
    quantiles: NDArray[np.float64] = np.sqrt(freedom) * np.tan(np.interp(away, below / below[-1], angle))
    return np.copysign(quantiles, shares - 0.5)


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
