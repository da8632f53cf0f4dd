"""From signals to trust: how unusual is a caption among the captions of its language?

N captions of one language, S signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

Good = Literal["high", "low", "usual"]
GOOD: dict[str, Good] = {
    "round_trip": "high",
    "agreement": "high",
    "length_ratio": "usual",
    "copied": "low",
    "repetition": "low",
    "script": "high",
    "language": "high",
    "explained": "high",
    "order": "high",
}
"""The signals in column order, and which values speak for a caption."""

LEARNT = ("explained", "order")
"""Signals learnt from the captions of one engine: their level depends on how much it wrote, so they are
compared within the engine only."""

FAILED = 0.01
"""Trust of a caption that failed outright is at most this."""

Floats = NDArray[np.float64]


def trust_of(signals: Mapping[str, Floats], engines: NDArray[np.int64] | None = None) -> Floats:
    """Trust in 0..1 [N] of the captions of one language from their signals [N] each; NaN marks an absent one.

    Each signal becomes the share of captions that are no better (`share_no_better`). Were the signals
    independent, such shares would be p values of "nothing is wrong with this caption"; Fisher's method
    (1932) joins them: trust is the probability that as many independent uniform values have a product as
    low. Raising a signal towards its good side never lowers the trust of its caption. NaN without signals.
    `engines` [N] numbers the engine of each caption (default: all one).
    """
    shares_SN = np.stack([_shares(name, values, engines) for name, values in signals.items()])
    present_N = np.isfinite(shares_SN).sum(axis=0)
    surprise_N = -np.log(np.where(np.isfinite(shares_SN), shares_SN, 1.0)).sum(axis=0)
    trust_N = gammaincc(np.maximum(present_N, 1), surprise_N)
    return np.where(present_N > 0, trust_N, np.nan)


def _shares(name: str, values: Floats, engines: NDArray[np.int64] | None) -> Floats:
    good = goodness(values, GOOD[name])
    if engines is None or name not in LEARNT:
        return share_no_better(good)
    share = np.empty(len(good))
    for engine in np.unique(engines):
        share[engines == engine] = share_no_better(good[engines == engine])
    return share


def goodness(values: Floats, good: Good) -> Floats:
    """Values turned so that high is good; "usual" is the distance of the logarithm from its median."""
    if good == "high":
        return values
    if good == "low":
        return -values
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
