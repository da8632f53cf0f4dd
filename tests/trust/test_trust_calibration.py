"""Signals joined to trust: against calculations by hand, and what is claimed of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dragoman.trust.calibration import (
    FAR,
    GOOD,
    alarm_of,
    failure,
    goodness,
    quality_of,
    share_no_better,
    shortfall,
    trust_of,
)

NAMES = ("round_trip", "length_ratio", "copied", "order", "agreement", "known")
VALUE = st.one_of(st.just(np.nan), st.floats(0, 3, width=16))
TABLES = st.lists(st.tuples(*(VALUE for _ in NAMES)), min_size=1, max_size=12)


def as_signals(rows: list[tuple[float, ...]]) -> dict[str, NDArray[np.float64]]:
    return {
        name: np.array(column, float) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)
    }


def test_share_no_better_gives_ties_the_higher_share() -> None:
    np.testing.assert_allclose(
        share_no_better(np.array([3, 1, 1, np.nan, 2])), [1, 2 / 4, 2 / 4, np.nan, 3 / 4]
    )


def test_the_usual_length_is_the_median_on_a_logarithmic_scale() -> None:
    values = goodness(np.array([0.5, 1, 2, np.nan, 0]), "usual")
    # The median of log 1/2, log 1, log 2 is 0; an empty translation is infinitely far.
    np.testing.assert_allclose(values, [-np.log(2), 0, -np.log(2), np.nan, -np.inf])


def test_a_shortfall_is_counted_in_downward_deviations_by_hand() -> None:
    # Median 3 and lower quartile 2 of five values; a normal signal has its quartile 0.6745 deviations below.
    found = shortfall(np.array([1, 2, 3, 4, np.nan, 9]))
    np.testing.assert_allclose(found, [2 * 0.6745, 0.6745, 0, 0, np.nan, 0])


def test_an_alarm_grows_no_louder_beyond_the_limit() -> None:
    found = shortfall(np.array([-np.inf, -99, 3, 3, 3, 3, 4, 4]))
    np.testing.assert_array_equal(found, [FAR, FAR, 0, 0, 0, 0, 0, 0])


def test_a_fault_of_every_fifth_caption_is_as_loud_as_one_of_every_hundredth() -> None:
    sound = np.random.default_rng(0).normal(size=1000)
    few, many = sound.copy(), sound.copy()
    few[:10], many[:200] = -9, -9
    assert shortfall(few)[0] == FAR and shortfall(many)[0] > 5


def test_a_small_difference_is_no_alarm_where_nearly_all_are_alike() -> None:
    np.testing.assert_allclose(shortfall(np.array([0.98, 1, 1, 1, 1])), [0.02 / 0.1, 0, 0, 0, 0])


def test_a_normal_signal_alarms_by_nothing_on_average() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    assert alarm_of({"order": values}).mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(
        shortfall(values)[values < np.median(values)],
        (np.median(values) - values)[values < np.median(values)],
        rtol=0.02,
    )


def test_alarm_adds_squares_less_a_half_for_every_signal_that_is_there() -> None:
    signals = {
        "round_trip": np.array([1.0, 2, 3, 4, 9]),
        "order": np.array([3.0, 3, 3, np.nan, 3]),
        "recovered": np.array([0.0, 9, 9, 9, 9]),  # never alarms
    }
    square = 0.6745**2
    np.testing.assert_allclose(alarm_of(signals), [4 * square - 1, square - 1, -1, -0.5, -1])


def test_quality_is_the_weighted_sum_of_standard_scores() -> None:
    signals = {"agreement": np.array([1.0, 3, np.nan, np.nan]), "known": np.array([0.0, 0, 1, 1])}
    np.testing.assert_allclose(quality_of(signals), [-2 - 1, 2 - 1, 1, 1])
    outlier = {"known": np.array([-1.0] + [1.0] * 99)}
    assert quality_of(outlier)[0] == -3


def test_trust_is_the_logistic_function_of_the_odds() -> None:
    signals = {"round_trip": np.array([1.0, 2, 3, 4, 9]), "known": np.array([0.0, 0, 0, 0, 1])}
    quality = np.array([-0.5, -0.5, -0.5, -0.5, 2])
    alarm = np.array([4.0, 1, 0, 0, 0]) * 0.6745**2 - 0.5 - 0.5
    expected = [1 / (1 + math.exp(-(18 + 5 * q - a) / 10)) for q, a in zip(quality, alarm, strict=True)]
    np.testing.assert_allclose(trust_of(signals), expected)


def test_learnt_signals_are_compared_within_their_engine_only() -> None:
    values, engines = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0]), np.array([0, 0, 0, 1, 1, 1])
    apart, together = alarm_of({"order": values}, engines), alarm_of({"round_trip": values}, engines)
    np.testing.assert_allclose(apart[:3], apart[3:])
    assert together[0] > together[3]


def test_a_caption_without_any_signal_has_no_trust() -> None:
    assert np.isnan(trust_of({"round_trip": np.array([np.nan, 1.0])})).tolist() == [True, False]


def test_usual_captions_are_trusted_and_most_of_a_clean_corpus_is() -> None:
    rng = np.random.default_rng(0)
    trust = trust_of({name: np.exp(rng.normal(size=20_000)) for name in GOOD})
    assert np.median(trust) > 0.8
    assert (trust < 0.5).mean() < 0.25


@settings(deadline=None)
@given(TABLES)
def test_trust_lies_between_0_and_1(rows: list[tuple[float, ...]]) -> None:
    trust = trust_of(as_signals(rows))
    silent = np.array([all(np.isnan(row)) for row in rows])
    np.testing.assert_array_equal(np.isnan(trust), silent)
    assert ((trust[~silent] >= 0) & (trust[~silent] <= 1)).all()


@settings(deadline=None)
@given(TABLES, st.randoms())
def test_trust_does_not_depend_on_the_order_of_captions(rows: list[tuple[float, ...]], rng: object) -> None:
    order = list(range(len(rows)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = trust_of(as_signals([rows[i] for i in order]))
    np.testing.assert_allclose(shuffled, trust_of(as_signals(rows))[order], rtol=1e-6)


@settings(deadline=None)
@given(TABLES, st.sampled_from([name for name in NAMES if name != "length_ratio"]))
def test_of_two_captions_that_differ_in_one_signal_the_better_is_trusted_no_less(
    rows: list[tuple[float, ...]], name: str
) -> None:
    twin = list(rows[0])
    place = NAMES.index(name)
    twin[place] += 1.0 if GOOD[name] == "high" else -1.0
    trust = trust_of(as_signals([tuple(twin), *rows]))
    if not np.isnan(twin[place]):
        assert trust[0] >= trust[1] - 1e-12


@pytest.mark.parametrize(
    ("words", "changed", "reason"),
    [
        (5, {}, None),
        (0, {}, "empty"),
        (5, {"script": 0.4}, "script"),
        (5, {"script": None}, None),
        (3, {"copied": 1.0}, "copied"),
        (2, {"copied": 1.0}, None),
        (5, {"repetition": 0.5}, "repetition"),
    ],
)
def test_a_caption_fails_outright_for_a_stated_reason(
    words: int, changed: dict[str, float | None], reason: str | None
) -> None:
    sound: dict[str, float | None] = {"script": 1.0, "copied": 0.1, "repetition": 0.0}
    assert failure(words, sound | changed) == reason
