"""Toy values of the metric definitions, and every metric against a slow, obvious oracle."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dragoman.errors import UserError
from dragoman.evaluation import (
    MatrixScores,
    Metric,
    Positives,
    mean_recall,
    rank_scores,
    retrieval_metrics,
    sum_r,
)

TOY_A = -np.array(
    [[0.1, 0.2, 0.3], [0.9, 0.1, 0.2], [0.3, 0.1, 0.2], [0.5, 0.4, 0.1], [0.1, 0.2, 0.3], [0.6, 0.5, 0.05]]
)
TOY_B = TOY_A.copy()
TOY_B[4] = [-0.15, -0.25, -0.35]
TOY_B[2, 1] = -0.05
OWNER = np.repeat(np.eye(3, dtype=bool), 2, axis=0)
TEXT_TO_VISUAL = {"recall@1": 50, "medr": 1.5, "meanr": 1.833333, "map": 69.4444, "ndcg@10": 77.1822}


def row(rank_scores: list[float], positives: list[int]) -> dict[str, float]:
    relevant = np.zeros((1, len(rank_scores)), bool)
    relevant[0, positives] = True
    return retrieval_metrics(np.array([rank_scores]), relevant)


def oracle(scores: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    best, precision, ndcg = [], [], []
    for line, wanted in zip(scores.tolist(), relevant.tolist(), strict=True):
        negatives = [s for s, is_wanted in zip(line, wanted, strict=True) if not is_wanted]
        own = sorted((s for s, is_wanted in zip(line, wanted, strict=True) if is_wanted), reverse=True)
        rho = [
            i + sum(n > s for n in negatives) + sum(n == s for n in negatives) / 2
            for i, s in enumerate(own, 1)
        ]
        best.append(rho[0])
        precision.append(sum(i / r for i, r in enumerate(rho, 1)) / len(rho))
        ideal = sum(1 / math.log2(i + 1) for i in range(1, min(len(rho), 10) + 1))
        ndcg.append(sum(1 / math.log2(r + 1) for r in rho if r <= 10) / ideal)
    ordered, n = sorted(best), len(best)
    return {f"recall@{k}": 100 * sum(r <= k for r in best) / n for k in (1, 5, 10)} | {
        "medr": (ordered[(n - 1) // 2] + ordered[n // 2]) / 2,
        "meanr": sum(best) / n,
        "map": 100 * sum(precision) / n,
        "ndcg@10": 100 * sum(ndcg) / n,
    }


@st.composite
def tied_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 14)))
    scores = draw(hnp.arrays(np.float32, shape, elements=st.integers(-4, 4).map(lambda n: n / 4)))
    relevant = draw(hnp.arrays(bool, shape))
    relevant[np.arange(shape[0]), draw(st.integers(0, shape[1] - 1))] = True
    return scores, relevant


@pytest.mark.parametrize("toy", [TOY_A, TOY_B], ids=["A", "B"])
def test_text_to_visual_of_both_toys(toy: np.ndarray) -> None:
    found = retrieval_metrics(toy, OWNER)
    assert {name: found[name] for name in TEXT_TO_VISUAL} == pytest.approx(TEXT_TO_VISUAL, rel=1e-6)


def test_visual_to_text_of_toy_a_gives_ties_the_middle_rank() -> None:
    found = retrieval_metrics(TOY_A.T, OWNER.T)
    expected = {"recall@1": 100 / 3, "medr": 1.5, "meanr": 4 / 3, "map": 57.1717, "ndcg@10": 74.1154}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_visual_to_text_of_toy_b() -> None:
    found = retrieval_metrics(TOY_B.T, OWNER.T)
    expected = {"recall@1": 100, "medr": 1, "meanr": 1, "map": 67.7778, "ndcg@10": 83.7818}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_the_keys_are_exactly_these() -> None:
    assert list(retrieval_metrics(TOY_A, OWNER)) == [
        "recall@1", "recall@5", "recall@10", "medr", "meanr", "map", "ndcg@10",
    ]  # fmt: skip


def test_a_positive_that_ties_for_the_top_is_no_hit() -> None:
    found = row([0.9, 0.9, 0.1], [0])
    assert (found["medr"], found["recall@1"], found["recall@5"]) == (1.5, 0, 100)


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_constant_scores_give_the_middle_rank(n: int) -> None:
    found = row([0.3] * n, [n - 1])
    assert found["medr"] == (n + 1) / 2
    assert found["recall@1"] == (100 if n == 1 else 0)


@pytest.mark.parametrize(
    ("above", "tied", "expected"),
    [(0, 0, 100), (0, 1, 75.6471), (1, 0, 63.0930), (2, 0, 50), (9, 0, 28.9065), (10, 0, 0)],
)
def test_ndcg_of_a_single_positive(above: int, tied: int, expected: float) -> None:
    assert row([1.0] * above + [0.5] * (tied + 1) + [0.0] * 5, [above])["ndcg@10"] == pytest.approx(
        expected, abs=1e-4
    )


def test_positives_at_ranks_one_and_four() -> None:
    found = row([0.9, 0.8, 0.7, 0.6, 0.5], [0, 3])
    assert found["map"] == pytest.approx(75)
    assert found["ndcg@10"] == pytest.approx(87.7215, abs=1e-4)


def test_sum_r_and_mean_recall_of_published_recalls() -> None:
    there, back = (
        {"recall@1": a, "recall@5": b, "recall@10": c} for a, b, c in [(30.8, 64.4, 74.6), (43.1, 72.3, 81.4)]
    )
    assert sum_r(there, back) == pytest.approx(366.6)
    assert mean_recall(there, back) == pytest.approx(61.1)


@given(tied_scores())
@settings(deadline=None)
def test_every_metric_equals_the_obvious_oracle(case: tuple[np.ndarray, np.ndarray]) -> None:
    assert retrieval_metrics(*case) == pytest.approx(oracle(*case))


@given(tied_scores(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_queries_and_gallery_changes_nothing(case: tuple, random: object) -> None:
    scores, relevant = case
    rows = np.array(random.sample(range(scores.shape[0]), scores.shape[0]))  # type: ignore[attr-defined]
    columns = np.array(random.sample(range(scores.shape[1]), scores.shape[1]))  # type: ignore[attr-defined]
    moved = retrieval_metrics(scores[rows][:, columns], relevant[rows][:, columns])
    assert moved == pytest.approx(retrieval_metrics(scores, relevant))


@given(tied_scores())
@settings(deadline=None)
def test_strictly_increasing_transforms_change_nothing(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = case
    assert retrieval_metrics(np.exp(3 * scores) - 7, relevant) == retrieval_metrics(scores, relevant)


def test_scores_are_compared_as_float32() -> None:
    assert row([0.1 + 0.2, 0.3], [1])["medr"] == 1.5


def test_nan_scores_are_refused_with_their_query() -> None:
    scores = TOY_A.copy()
    scores[3, 2] = np.nan
    with pytest.raises(UserError, match=r"scores of query 3 \(counted from 0\) hold NaN"):
        retrieval_metrics(scores, OWNER)


def test_a_query_without_a_positive_is_refused() -> None:
    relevant = OWNER.copy()
    relevant[4] = False
    with pytest.raises(UserError, match="1 of 6 queries have no positive in the gallery, first query 4"):
        retrieval_metrics(TOY_A, relevant)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(6, 3\) but relevant \(3, 6\)"):
        retrieval_metrics(TOY_A, OWNER.T)


def test_an_empty_matrix_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(0, 3\) given; expected \[queries, gallery\]"):
        retrieval_metrics(np.zeros((0, 3)), np.zeros((0, 3)))


def test_scores_too_large_for_float32_are_refused() -> None:
    with pytest.raises(UserError, match="too large for float32"):
        row([1e300, 0], [0])


def test_a_metric_is_its_key_and_knows_its_parts_and_its_short_name() -> None:
    assert Metric("recall@20") == "recall@20"
    assert {"recall@20": 1}[Metric("recall@20")] == 1
    assert json.dumps({Metric("map"): [Metric("ndcg@3")]}) == '{"map": ["ndcg@3"]}'
    keys = ["recall@20", "ndcg@3", "medr", "meanr", "map"]
    assert [(one.name, one.cutoff, one.short) for one in map(Metric, keys)] == [
        ("recall", 20, "R@20"),
        ("ndcg", 3, "nDCG@3"),
        ("medr", 0, "MedR"),
        ("meanr", 0, "MeanR"),
        ("map", 0, "mAP"),
    ]


def test_a_metric_measures_at_any_cutoff() -> None:
    # Ranks of the only positives: 1, 2 and 4.
    scores = MatrixScores([[9, 1, 2, 3], [9, 8, 1, 0], [9, 8, 7, 6]])
    ranks = rank_scores(scores, Positives.from_items(["a", "b", "d"], ["a", "b", "c", "d"]))
    assert Metric("recall@2").values(ranks).tolist() == [100, 100, 0]
    assert Metric("recall@2").of(ranks) == pytest.approx(200 / 3)
    assert Metric("ndcg@3").of(ranks) == pytest.approx(100 * (1 + 1 / math.log2(3)) / 3)
    assert Metric("map").of(ranks) == pytest.approx(100 * (1 + 1 / 2 + 1 / 4) / 3)
    assert (Metric("medr").of(ranks), Metric("meanr").of(ranks)) == (2, pytest.approx(7 / 3))


@pytest.mark.parametrize("key", ["recall", "recall@", "recall@0", "recall@x", "map@3", "precision@1", ""])
def test_a_key_that_names_no_metric_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=rf"No metric '{key}'. Known, .* recall@K, ndcg@K, medr, meanr, map"):
        Metric(key)
