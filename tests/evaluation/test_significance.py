"""Toy values of the tests, and the bootstrap against resampling done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.errors import UserError
from dragoman.evaluation.significance import (
    bootstrap_means,
    bootstrap_medians,
    bootstrap_seeds,
    hierarchical_interval,
    holm,
    interval,
    mcnemar,
    over_seeds,
    p_of_samples,
    sign_flip,
    student,
    t_interval,
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


@pytest.mark.parametrize(
    ("freedom", "share", "quantile"),
    [(1, 0.975, 12.7062), (2, 0.975, 4.30265), (2, 0.025, -4.30265), (9, 0.975, 2.26216), (5, 0.5, 0.0)],
)
def test_quantiles_of_students_t_are_those_of_the_tables(freedom: int, share: float, quantile: float) -> None:
    assert student(np.array([share]), freedom)[0] == pytest.approx(quantile, abs=2e-4)


def test_the_t_interval_over_seeds_by_hand() -> None:
    # Mean 2, squared deviations 34.81, 141.61 and 36, so s = 10.3057, s / sqrt(3) = 5.95, times 4.30265.
    assert t_interval([7.9, -9.9, 8.0]) == pytest.approx((-23.60, 27.60), abs=0.01)
    assert t_interval([23.1, 11.0, 18.8]) == pytest.approx((2.40, 32.87), abs=0.01)
    assert t_interval([5.0, 5.0]) == (5.0, 5.0)
    with pytest.raises(UserError, match="needs two values or more, got"):
        t_interval([3.0])


def test_seeds_that_disagree_do_not_vanish_in_their_mean() -> None:
    # Every image gains the same, so that only the seeds differ: by +7.9, -9.9 and +8.0.
    gains = np.repeat([[7.9], [-9.9], [8.0]], 50, axis=1)
    found = hierarchical_interval(gains, range(50))
    assert found.value == pytest.approx(2.0)
    assert found.interval == pytest.approx((-23.60, 27.60), abs=0.05)
    # Two-sided p of t = 2 / 5.95 with two degrees of freedom.
    assert found.p == pytest.approx(1 - 0.3362 / np.sqrt(2 + 0.3362**2), abs=0.002)
    assert found.over == "images and seeds"


def test_seeds_that_agree_leave_the_bootstrap_over_images() -> None:
    random = np.random.default_rng(3)
    values = np.repeat(random.standard_normal((1, 60)), 3, axis=0)
    alone = hierarchical_interval(values[:1], range(60), seed=8)
    together = hierarchical_interval(values, range(60), seed=8)
    assert alone.over == "images"
    assert together.interval == pytest.approx(alone.interval)
    samples = bootstrap_means(values[0][:, None], np.arange(60), 60, seed=8)[:, 0]
    assert alone.interval == interval(samples)
    assert alone.p == sign_flip(values[0][:, None], seed=8)[0]


def slow_hierarchical(values: np.ndarray, image: list[int], draws: int) -> tuple[float, float]:
    """Draw images, then other seeds around what the seeds have on these images; one draw at a time."""
    random, images, found = np.random.default_rng(99), sorted(set(image)), []
    for _ in range(draws):
        chosen = [images[i] for i in random.integers(len(images), size=len(images))]
        queries = [q for one in chosen for q, of in enumerate(image) if of == one]
        of_seeds = [float(np.mean([row[q] for q in queries])) for row in values.tolist()]
        error = np.std(of_seeds, ddof=1) / np.sqrt(len(of_seeds))
        found += [np.mean(of_seeds) + t * error for t in random.standard_t(len(of_seeds) - 1, size=40)]
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_the_hierarchical_bootstrap_is_that_of_the_slow_way(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    image = [0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11]
    values = random.standard_normal((seeds, len(image))) + random.standard_normal((seeds, 1))
    values += random.standard_normal(len(image))
    expected = slow_hierarchical(values, image, 1_000)
    width = expected[1] - expected[0]
    assert hierarchical_interval(values, image).interval == pytest.approx(expected, abs=0.04 * width)


def test_paired_seeds_share_what_they_share_and_others_do_not() -> None:
    luck, gains = np.array([[-9.0], [1.0], [8.0]]), np.array([[1.1], [0.9], [1.0]])
    a, b = np.repeat(luck, 40, axis=1), np.repeat(luck + gains, 40, axis=1)
    paired = hierarchical_interval(b, range(40), a)
    # s / sqrt(3) of 1.1, 0.9 and 1.0 is 0.0577, times 4.30265.
    assert paired.interval == pytest.approx((1 - 0.2484, 1 + 0.2484), abs=0.001)
    apart = hierarchical_interval(b, range(40), a, paired=False)
    # Two independent errors of 4.93 and 4.87, each a t of two degrees of freedom.
    errors = luck.std(ddof=1) / np.sqrt(3), (luck + gains).std(ddof=1) / np.sqrt(3)
    random = np.random.default_rng(0)
    drawn = 1 + sum(error * random.standard_t(2, 400_000) for error in errors)
    assert apart.interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), rel=0.05)
    assert apart.value == paired.value == pytest.approx(1.0)


def test_a_difference_pairs_the_images_of_both_sides() -> None:
    hard = np.random.default_rng(0).standard_normal((1, 80)) * 30
    a, b = np.repeat(hard, 2, axis=0), np.repeat(hard, 2, axis=0) + 1
    assert hierarchical_interval(b, range(80), a).interval == pytest.approx((1, 1))


def test_one_seed_on_one_side_tells_nothing_of_other_seeds() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((1, 30)), random.standard_normal((3, 30))
    found = hierarchical_interval(b, range(30), a, paired=False)
    assert found.over == "images"
    gains = (b.mean(axis=0) - a[0])[:, None]
    assert found.interval == pytest.approx(interval(bootstrap_means(gains, np.arange(30), 30, seed=0)[:, 0]))


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(3,\) given for 3 queries; expected \[seeds, queries\]"):
        hierarchical_interval([1, 2, 3], "abc")
    with pytest.raises(UserError, match="2 seeds and a baseline of 1 cannot be paired"):
        hierarchical_interval([[1, 2], [1, 2]], "ab", [[1, 2]])
    with pytest.raises(UserError, match="NaN or infinite"):
        hierarchical_interval([[1, np.nan]], "ab")


@pytest.mark.parametrize(
    ("samples", "p"), [([1, 2, 3], 0.5), ([-1, 1], 1.0), ([0, 0, 0], 1.0), ([-1] + [1] * 38, 0.1)]
)
def test_p_of_samples_by_hand(samples: list[float], p: float) -> None:
    assert p_of_samples(np.array(samples)) == p


@pytest.mark.parametrize(
    ("seeds", "seed_spread", "both_spread"), [(3, 1.0, 0.0), (3, 0.3, 1.0), (3, 0.0, 3.0), (8, 0.3, 1.0)]
)
def test_it_covers_the_truth_as_often_as_it_says(seeds: int, seed_spread: float, both_spread: float) -> None:
    random, covered, plain = np.random.default_rng(7), 0, 0
    for _ in range(200):
        values = seed_spread * random.standard_normal((seeds, 1)) + random.standard_normal(50)
        values = values + both_spread * random.standard_normal((seeds, 50))
        means = bootstrap_seeds(values[:, :, None], np.arange(50), 50, seed=0, resamples=200)[:, :, 0]
        low, high = interval(over_seeds([means], seed=0))
        covered += low <= 0 <= high
        low, high = interval(means.mean(axis=0))
        plain += low <= 0 <= high
    assert covered >= 186
    # What leaves the seeds out promises more than it keeps, where they matter.
    if seed_spread == 1:
        assert plain < 100
