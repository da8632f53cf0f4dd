"""Signals joined to trust: against SciPy's Fisher method, and what is claimed of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import combine_pvalues

from dragoman.translation.trust_calibration import GOOD, failure, goodness, share_no_better, trust_of

NAMES = ("round_trip", "length_ratio", "copied", "order")
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


def test_trust_is_fishers_combination_of_the_shares() -> None:
    signals = {"round_trip": np.array([0.9, 0.5, 0.1, np.nan]), "copied": np.array([0, 0.2, 0.1, 0.4])}
    expected = [combine_pvalues([1, 1]).pvalue, combine_pvalues([2 / 3, 2 / 4]).pvalue]
    expected += [combine_pvalues([1 / 3, 3 / 4]).pvalue, 1 / 4]
    np.testing.assert_allclose(trust_of(signals), expected)


def test_learnt_signals_are_compared_within_their_engine_only() -> None:
    values, engines = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0, 1, 0, 1])
    np.testing.assert_allclose(trust_of({"order": values}, engines), [1, 1, 1 / 2, 1 / 2])
    np.testing.assert_allclose(trust_of({"round_trip": values}, engines), [1, 3 / 4, 2 / 4, 1 / 4])


def test_a_caption_without_any_signal_has_no_trust() -> None:
    assert np.isnan(trust_of({"round_trip": np.array([np.nan, 1.0])})).tolist() == [True, False]


@given(TABLES)
def test_trust_lies_between_0_and_1(rows: list[tuple[float, ...]]) -> None:
    trust = trust_of(as_signals(rows))
    silent = np.array([all(np.isnan(row)) for row in rows])
    np.testing.assert_array_equal(np.isnan(trust), silent)
    assert ((trust[~silent] >= 0) & (trust[~silent] <= 1)).all()


@given(TABLES, st.randoms())
def test_trust_does_not_depend_on_the_order_of_captions(rows: list[tuple[float, ...]], rng: object) -> None:
    order = list(range(len(rows)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = trust_of(as_signals([rows[i] for i in order]))
    np.testing.assert_allclose(shuffled, trust_of(as_signals(rows))[order], rtol=1e-12)


@given(TABLES, st.sampled_from(["round_trip", "copied", "order"]), st.floats(0.01, 2), st.data())
def test_a_better_signal_never_lowers_trust(
    rows: list[tuple[float, ...]], name: str, step: float, data: st.DataObject
) -> None:
    signals = as_signals(rows)
    row = data.draw(st.integers(0, len(rows) - 1))
    better = {key: values.copy() for key, values in signals.items()}
    better[name][row] += step if GOOD[name] == "high" else -step
    before, after = trust_of(signals)[row], trust_of(better)[row]
    assert (np.isnan(before) and np.isnan(after)) or after >= before


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
