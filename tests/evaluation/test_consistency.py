"""Consistency across languages: toy values, an oracle in plain Python, and what must change nothing."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dragoman.errors import UserError
from dragoman.evaluation import Ranked, join_ranks, mean_rank_variance
from dragoman.evaluation.consistency import instance_values, rank_values, spread, top_overlap

TOY = np.array([[1, 1, 1, 1], [1, 2, 1, 4], [3, 1, 10, 2]])


def means(ranks: np.ndarray) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in rank_values(ranks.astype(float)).items()}


def test_the_toy_by_instance() -> None:
    found = rank_values(TOY.astype(float))
    assert found["mrv_var"] == pytest.approx([0, 1.5, 12.5])
    assert found["mrv_std"] == pytest.approx([0, 1.224745, 3.535534], abs=1e-6)


def test_the_toy_in_the_mean_takes_the_population_form() -> None:
    assert mean_rank_variance(TOY) == pytest.approx({"mrv_var": 4.666667, "mrv_std": 1.586760}, abs=1e-6)


def test_the_toy_without_its_first_instance() -> None:
    assert mean_rank_variance(TOY[1:].tolist()) == pytest.approx(
        {"mrv_var": 7.0, "mrv_std": 2.380139}, abs=1e-6
    )


def test_the_toy_on_a_logarithmic_scale() -> None:
    found = means(TOY)
    assert (found["mrv_std_log"], found["mrv_var_log"]) == pytest.approx((0.470382, 0.343303), abs=1e-6)


def test_the_toy_clipped_at_five_by_giving_clipped_ranks() -> None:
    found = mean_rank_variance(np.minimum(TOY, 5))
    assert found == pytest.approx({"mrv_std": 0.901255, "mrv_var": 1.229167}, abs=1e-6)


def test_all_ranks_beyond_the_first_ten_are_one_when_clipped() -> None:
    far = np.array([[11.0, 500.0], [10.5, 12.0], [1.0, 90.0]])
    found = rank_values(far)
    assert found["mrv_std_clipped"].tolist() == [0, 0.25, 5]
    assert found["mrv_var_clipped"].tolist() == [0, 0.0625, 25]


def test_the_toy_spread_of_recall() -> None:
    hits = 100 * (TOY == 1).mean(axis=0)
    assert hits == pytest.approx([66.6667, 66.6667, 66.6667, 33.3333], abs=1e-4)
    found = spread(dict(zip(["en", "de", "ja", "zh"], hits.tolist(), strict=True)), "en")
    assert found.pop("min_language") == "zh"
    assert found == pytest.approx(
        {
            "min": 33.3333,
            "max": 66.6667,
            "range": 33.3333,
            "std": 14.4338,
            "mean": 58.3333,
            "mean_without_source": 55.5556,
        },
        abs=1e-4,
    )


def test_of_equally_low_languages_the_first_by_name_is_named() -> None:
    assert spread({"pt": 1.0, "ar": 1.0, "en": 2.0}, "en")["min_language"] == "ar"
    assert spread({"en": 2.0}, "en")["mean_without_source"] is None


@pytest.mark.parametrize(("k", "overlap", "jaccard"), [(2, 0.666667, 0.555556), (1, 0.333333, 0.333333)])
def test_the_toy_of_overlap(k: int, overlap: float, jaccard: float) -> None:
    lists = [[["1", "2"]], [["2", "1"]], [["2", "3"]]]
    found = top_overlap(lists, k)
    assert [one.mean() for one in found] == pytest.approx([overlap, jaccard], abs=1e-6)


def test_random_rankings_are_as_far_apart_as_published() -> None:
    random = np.random.default_rng(0)
    ranks = np.stack([random.permutation(2000) + 1 for _ in range(4)], axis=1)
    found = mean_rank_variance(ranks)
    assert found["mrv_std"] == pytest.approx(473, rel=0.02)
    assert found["mrv_var"] == pytest.approx(250_000, rel=0.03)


def test_opposite_rankings_reach_the_bound() -> None:
    first = np.array([1.0, 1.0, 9.0, 9.0])
    assert mean_rank_variance([first, first]) == {"mrv_var": 16.0, "mrv_std": 4.0}


rankings = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.integers(2, 60).map(lambda halves: halves / 2),
)


@given(rankings)
@settings(deadline=None)
def test_every_form_equals_the_obvious_oracle(ranks: np.ndarray) -> None:
    scales = {"": float, "_clipped": lambda r: min(r, 11), "_log": math.log}
    found = means(ranks)
    for name, scale in scales.items():
        variances = []
        for line in ranks.tolist():
            scaled = [scale(r) for r in line]
            mean = sum(scaled) / len(scaled)
            variances.append(sum((r - mean) ** 2 for r in scaled) / len(scaled))
        assert found[f"mrv_var{name}"] == pytest.approx(sum(variances) / len(variances), abs=1e-9)
        stds = [math.sqrt(v) for v in variances]
        assert found[f"mrv_std{name}"] == pytest.approx(sum(stds) / len(stds), abs=1e-7)


@given(rankings)
@settings(deadline=None)
def test_the_square_of_mrv_std_never_exceeds_mrv_var(ranks: np.ndarray) -> None:
    found = mean_rank_variance(ranks)
    assert found["mrv_std"] ** 2 <= found["mrv_var"] * (1 + 1e-12)
    assert found["mrv_std"] <= (ranks.max() - ranks.min()) / 2 + 1e-9


@given(rankings, st.integers(0, 40), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_neither_order_nor_a_constant_changes_anything(ranks: np.ndarray, added: int, random) -> None:
    rows, columns = list(range(ranks.shape[0])), list(range(ranks.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    moved = ranks[rows][:, columns]
    assert means(moved) == pytest.approx(means(ranks), abs=1e-9)
    assert mean_rank_variance(moved + added) == pytest.approx(mean_rank_variance(ranks), abs=1e-9)


@given(rankings)
@settings(deadline=None)
def test_one_language_and_equal_languages_agree_exactly(ranks: np.ndarray) -> None:
    alone, thrice = ranks[:, :1], np.repeat(ranks[:, :1], 3, axis=1)
    assert set(means(alone).values()) == set(means(thrice).values()) == {0.0}


@given(st.data())
@settings(deadline=None)
def test_overlap_equals_sets_in_plain_python(data: st.DataObject) -> None:
    languages, instances = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 4))
    listed = data.draw(st.integers(1, 6))
    ids = [f"i{n}" for n in range(8)]
    lists = [[data.draw(st.permutations(ids))[:listed] for _ in range(instances)] for _ in range(languages)]
    k = data.draw(st.integers(1, listed))
    overlap, jaccard = top_overlap(lists, k)
    for instance in range(instances):
        sets = [set(lists[language][instance][:k]) for language in range(languages)]
        pairs = list(combinations(sets, 2))
        assert overlap[instance] == pytest.approx(sum(len(a & b) / k for a, b in pairs) / len(pairs))
        assert jaccard[instance] == pytest.approx(sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs))


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ([[1, 2], [3, np.nan]], r"instance 1 in language 1 \(counted from 0\) is nan.*must be complete"),
        ([[1, np.inf]], "is inf"),
        ([[0, 1]], "is 0. Ranks must be complete, from 1"),
        ([[1, None]], "is nan"),
        ([[1, 2], [3]], r"shape \(2,\) given; expected numbers \[instances, languages\]"),
        ([], r"shape \(0,\) given"),
        ([1, 2], r"shape \(2,\) given"),
        (np.empty((0, 3)), r"shape \(0, 3\) given"),
    ],
)
def test_ranks_that_are_not_complete_are_refused(ranks: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mean_rank_variance(ranks)  # type: ignore[arg-type]


def test_lists_of_hits_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(1, 1, 2\) given for k = 1"):
        top_overlap([[["a", "b"]]], 1)
    with pytest.raises(UserError, match=r"for k = 3; expected .* k hits or more"):
        top_overlap([[["a", "b"]], [["a", "b"]]], 3)
    with pytest.raises(UserError, match="same id twice"):
        top_overlap([[["a", "a"]], [["a", "b"]]], 2)


def test_joined_instances_give_all_measures() -> None:
    one = Ranked(ids=["x", "y"], ranks=[1, 2], gallery=3, top_ids=[["x", "y", "z"], ["x", "y", "z"]])
    two = Ranked(ids=["y", "x"], ranks=[3, 1], gallery=3, top_ids=[["z", "x", "y"], ["x", "z", "y"]])
    found = instance_values(join_ranks({"en": one, "pt": two}))
    assert found["mrv_std"].tolist() == [0, 0.5]
    assert found["overlap@1"].tolist() == [1, 0]
    assert found["overlap@10"].tolist() == [1, 1]  # of three entries all are among the first ten
    assert list(found) == [
        *("mrv_std", "mrv_var", "mrv_std_clipped", "mrv_var_clipped", "mrv_std_log", "mrv_var_log"),
        *("overlap@1", "overlap@10", "jaccard@1", "jaccard@10"),
    ]
