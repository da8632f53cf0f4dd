"""From signals to trust: does a caption fall short of its language's usual values, and how good is it?

N captions of one language, S signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Good = Literal["high", "low", "usual"]
GOOD: dict[str, Good] = {
    "round_trip": "high",
    "recovered": "high",
    "agreement": "high",
    "expected": "high",
    "known": "high",
    "length_ratio": "usual",
    "copied": "low",
    "repetition": "low",
    "script": "high",
    "language": "high",
    "explained": "high",
    "supported": "high",
    "order": "high",
    "image": "high",
    "meaning": "high",
    "sem": "high",
    "margin": "high",
    "geometry": "high",
}
"""The signals in column order, and which values speak for a caption."""

LEARNT = ("explained", "supported", "order")
"""Signals learnt from the captions of one engine: their level depends on how much it wrote, so they are
compared within the engine only."""

QUALITY = {"agreement": 2.0, "expected": 1.0, "recovered": 1.0, "known": 1.0, "margin": 0.5}
"""Signals that say how well a sound caption is translated, and how often each counts. Agreement counts twice:
it alone has seen another translation; `margin` by half, as it knows what is meant and not which word people
choose."""
NO_ALARM = ("recovered", "expected", "sem", "geometry")
"""Signals that never raise an alarm: `recovered` would repeat that of `round_trip`, `sem` and `geometry` that
of `margin`, and `expected` knows words only."""

WEIGHT = 5.0
"""Worth of one standard deviation of a quality signal, in squared deviations of alarm."""
EVEN = 18.0
"""Net alarm at which a caption is as likely damaged as sound."""
SCALE = 10.0
"""Net alarm that changes the odds by a factor of e."""
FAR = 6.0
"""Deviations beyond which an alarm grows no louder."""
LEAST = 0.1
"""Smallest downward deviation: where nearly all captions agree to the last digit, a small difference means
nothing."""
LIMIT = 3.0
"""Standard deviations that a quality signal counts for at most."""

FAILED = 0.01
"""Trust of a caption that failed outright is at most this."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def trust_of(signals: Mapping[str, Floats], engines: Ints | None = None) -> Floats:
    """Trust in 0..1 [N] of the captions of one language from their signals [N] each; NaN marks an absent one.

    The logarithm of the odds that a caption is sound: `(EVEN + WEIGHT * quality - alarm) / SCALE`, with
    `alarm_of` and `quality_of` its signals. NaN where a caption has no signal. `engines` [N] numbers the
    engine of each caption (default: all one).
    """
    odds_N = (EVEN + WEIGHT * quality_of(signals) - alarm_of(signals, engines)) / SCALE
    present_N = np.any([np.isfinite(values) for values in signals.values()], axis=0)
    # The logistic function, written so that no exponential overflows.
    return np.where(present_N, 0.5 * (1 + np.tanh(odds_N / 2)), np.nan)


def alarm_of(signals: Mapping[str, Floats], engines: Ints | None = None) -> Floats:
    """Sum over the signals of squared shortfalls, each less its usual half [N]; about 0 for a usual caption.

    Were a signal normal, half of the captions had no shortfall and the mean square of all were a half, so
    that a sound caption is neither better nor worse for having a signal. Squares let one loud signal be heard
    among many silent ones, whatever the damage.
    """
    total_N = np.zeros(len(next(iter(signals.values()))))
    for name, values in signals.items():
        if name in NO_ALARM:
            continue
        good = goodness(values, GOOD[name])
        square = np.full(len(good), np.nan)
        # NaN becomes 0 only after the half is taken off: an absent signal neither blames nor praises.
        for rows in _compared(name, len(good), engines):
            square[rows] = shortfall(good[rows]) ** 2
        total_N += np.nan_to_num(square - 0.5, nan=0.0)
    return total_N


def quality_of(signals: Mapping[str, Floats]) -> Floats:
    """Weighted sum of the quality signals, each in standard deviations from its mean within `LIMIT` [N].

    Weights of one or two instead of fitted ones (Dawes 1979): there is nothing to fit to, since good
    translations are what is missing. An absent signal adds nothing.
    """
    total_N = np.zeros(len(next(iter(signals.values()))))
    for name, weight in QUALITY.items():
        if name in signals and np.isfinite(signals[name]).any():
            values = signals[name]
            spread = float(np.nanstd(values))
            if spread > 0:
                deviations = (values - np.nanmean(values)) / spread
                total_N += weight * np.nan_to_num(np.clip(deviations, -LIMIT, LIMIT), nan=0.0)
    return total_N


def shortfall(good: Floats) -> Floats:
    """Distance of each value below the median, in downward deviations, 0 to `FAR` [N]; NaN stays NaN.

    The downward deviation is the distance from the lower quartile to the median by that of a normal signal,
    0.6745, and at least `LEAST`. A quarter of the captions may be damaged before damage hides behind it.
    """
    present = good[np.isfinite(good)]
    if not len(present):
        return np.where(np.isnan(good), np.nan, 0.0)
    # Only the lower half is measured: the upper one may end at a ceiling, as chrF does at 1.
    quartile, median = np.quantile(present, [0.25, 0.5])
    deviation = max(float(median - quartile) / 0.6745, LEAST)
    return np.asarray(np.clip((median - good) / deviation, 0, FAR))


def goodness(values: Floats, good: Good) -> Floats:
    """Values turned so that high is good; "usual" is the distance of the logarithm from its median."""
    if good == "high":
        return values
    if good == "low":
        return -values
    # A ratio of 2 is as unusual as one of 1/2: distances are taken between logarithms. That of 0 is infinite,
    # which is as far from usual as can be.
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    if not np.isfinite(logs).any():
        return np.where(np.isnan(values), np.nan, 0.0)
    return np.asarray(-np.abs(logs - np.median(logs[np.isfinite(logs)])))


def share_no_better(goodness: Floats) -> Floats:
    """Share of the captions whose goodness is at most that of each, in (0, 1]; NaN stays NaN.

    Ties share the higher value, so that a signal that most captions pass says nothing against them.
    """
    present = ~np.isnan(goodness)
    ordered = np.sort(goodness[present])
    share = np.full(len(goodness), np.nan)
    if len(ordered):
        share[present] = np.searchsorted(ordered, goodness[present], side="right") / len(ordered)
    return share


def failure(text_words: int, signals: Mapping[str, float | None]) -> str | None:
    """Why a caption failed outright, or None: empty, wrong script, copied whole, endless repetition."""
    if text_words == 0:
        return "empty"
    script, copied = signals["script"], signals["copied"]
    if script is not None and script < 0.5:
        return "script"
    if copied is not None and copied > 0.9 and text_words >= 3:
        return "copied"
    repetition = signals["repetition"]
    if repetition is not None and repetition >= 0.5:
        return "repetition"
    return None


def _compared(name: str, captions: int, engines: Ints | None) -> list[Ints]:
    """Rows that are compared with one another."""
    if engines is None or name not in LEARNT:
        return [np.arange(captions)]
    return [np.flatnonzero(engines == engine) for engine in np.unique(engines)]
