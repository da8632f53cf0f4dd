"""Toy values of the tests, and the bootstrap against resampling done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.evaluation.significance import (
    bootstrap_means,
    bootstrap_medians,
    holm,
    interval,
    mcnemar,
    sign_flip,
)


@pytest.mark.parametrize(("differences", "p"), [([1, 1, 1], 0.25), ([2, 1, -1, 0], 0.75), ([0, 0], 1.0)])
def test_sign_flip_enumerates_small_samples(differences: list[float], p: float) -> None:
    assert sign_flip(np.array(differences)[:, None], seed=0).tolist() == [p]


def test_sign_flip_by_draws_comes_close_to_the_exact_value() -> None:
    # 13 images of which one differs: half of the flips cannot change |sum|, so p is exactly 1.
    one = np.zeros((13, 1))
    one[4] = 1
    assert sign_flip(one, seed=0).tolist() == [1.0]
    # 13 equal differences: only all plus and all minus reach the sum, 2 in 8192.
    p = sign_flip(np.ones((13, 1)), seed=0)[0]
    assert 1 / 10_001 <= p < 0.002


def test_sign_flip_of_several_measures_is_that_of_each() -> None:
    differences = np.random.default_rng(1).standard_normal((40, 3)) + np.array([0, 0.2, 1])
    together = sign_flip(differences, seed=7)
    alone = [sign_flip(differences[:, [m]], seed=7)[0] for m in range(3)]
    assert together.tolist() == alone
    assert together[0] > 0.05 > 0.001 > together[2]


def test_rounding_does_not_break_equal_sums() -> None:
    # Half of the flips reach 0.9 or -0.9; added up in floating point, some of them fall just short.
    assert sign_flip(np.array([[0.3], [0.8], [-0.7], [0.1], [0.4]]), seed=0).tolist() == [0.5]


def test_drawn_p_values_are_never_zero() -> None:
    assert sign_flip(np.ones((200, 1)), seed=0).tolist() == [1 / 10_001]


def test_mcnemar_of_five_against_one() -> None:
    a = np.array([1, 1, 1, 1, 1, 0, 1, 1, 0], bool)
    b = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0], bool)
    assert mcnemar(a, b) == pytest.approx(0.21875)
    assert mcnemar(b, a) == pytest.approx(0.21875)
    assert mcnemar(a, a) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_identical_images_give_an_interval_of_no_width() -> None:
    values = np.tile([[100.0], [0.0]], (6, 1))
    samples = bootstrap_means(values, np.repeat(np.arange(6), 2), 6, seed=0)
    assert interval(samples[:, 0]) == (50.0, 50.0)


def test_the_bootstrap_resamples_whole_images() -> None:
    values, image = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([0, 0, 1, 2, 2])
    means = bootstrap_means(values[:, None], image, 3, seed=5, resamples=300)[:, 0]
    medians = bootstrap_medians(values, image, 3, seed=5, resamples=300)
    random = np.random.default_rng(5)
    for mean, median in zip(means, medians, strict=True):
        drawn = np.concatenate([values[image == i] for i in random.integers(3, size=3)])
        assert mean == pytest.approx(drawn.mean())
        assert median == np.median(drawn)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(200):
        values = random.standard_normal((60, 1))
        low, high = interval(bootstrap_means(values, np.arange(60), 60, seed=0, resamples=400)[:, 0])
        covered += low <= 0 <= high
    assert 180 <= covered <= 198
