"""Agreement with ir_measures (trec_eval) on random input with ties.

trec_eval knows no ties: it breaks them by descending document id, so a system's figure hangs on how its
documents are named. We give a tied positive the middle of its tie. Both must therefore agree exactly where
no tie touches a positive and a negative; where one does and the middle is a place (an even number of tied
negatives), once the export puts the positive in that place; and always lie between the export that favours
negatives and the one that favours positives.
"""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.evaluation import retrieval_metrics

ir_measures = pytest.importorskip("ir_measures")
NAMES = {
    "recall@1": "Success@1",
    "recall@5": "Success@5",
    "recall@10": "Success@10",
    "map": "AP",
    "ndcg@10": "nDCG@10",
}


def by_ir_measures(scores: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """The figures of trec_eval for a matrix without ties."""
    qrels = [ir_measures.Qrel(f"q{q}", f"d{g}", 1) for q, g in zip(*np.nonzero(relevant), strict=True)]
    run = [ir_measures.ScoredDoc(f"q{q}", f"d{g}", float(scores[q, g])) for q, g in np.ndindex(scores.shape)]
    measures = {name: ir_measures.parse_measure(theirs) for name, theirs in NAMES.items()}
    found = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    return {name: 100 * found[measure] for name, measure in measures.items()}


def ours(scores: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    found = retrieval_metrics(scores, relevant)
    return {name: found[name] for name in NAMES}


def random_case(seed: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    relevant = random.random((12, 30)) < 0.1
    relevant[np.arange(12), random.integers(30, size=12)] = True
    return random.integers(levels, size=(12, 30)).astype(np.float32), relevant


def placed(scores: np.ndarray, relevant: np.ndarray, share: float) -> np.ndarray:
    """Strict scores of the same order, in which `share` of the tied negatives stand above the positives."""
    strict = np.empty(scores.shape)
    for row, wanted, out in zip(scores, relevant, strict, strict=True):
        order: list[int] = []
        for level in sorted(set(row.tolist()), reverse=True):
            negatives = np.flatnonzero((row == level) & ~wanted).tolist()
            above = round(share * len(negatives))
            positives = np.flatnonzero((row == level) & wanted).tolist()
            order += negatives[:above] + positives + negatives[above:]
        out[order] = -np.arange(len(order))
    return strict


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_all_figures_are_equal(seed: int) -> None:
    _, relevant = random_case(seed, 2)
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(30.0), (12, 1)), axis=1)
    assert ours(scores, relevant) == pytest.approx(by_ir_measures(scores, relevant))


@pytest.mark.parametrize("seed", range(5))
def test_ties_within_negatives_or_within_positives_change_nothing(seed: int) -> None:
    scores, relevant = random_case(seed, 6)
    scores += 0.5 * relevant  # positives tie with each other and negatives too, never across
    assert ours(scores, relevant) == pytest.approx(by_ir_measures(scores, relevant))


@pytest.mark.parametrize("seed", range(5))
def test_a_tied_positive_counts_as_if_it_stood_in_the_middle(seed: int) -> None:
    scores, relevant = random_case(seed, 6)
    for row, wanted in zip(scores, relevant, strict=True):
        for level in set(row[wanted].tolist()):
            tied = np.flatnonzero((row == level) & ~wanted)
            if len(tied) % 2:
                row[tied[0]] = -1  # one of an odd number goes last, so that the middle is a place
    middle = by_ir_measures(placed(scores, relevant, 0.5), relevant)
    assert ours(scores, relevant) == pytest.approx(middle)
    assert middle != by_ir_measures(placed(scores, relevant, 0.0), relevant), "no tie reached a positive"


@pytest.mark.parametrize("seed", range(5))
def test_with_any_ties_we_lie_between_both_ways_to_break_them(seed: int) -> None:
    scores, relevant = random_case(seed, 6)
    found = ours(scores, relevant)
    worst = by_ir_measures(placed(scores, relevant, 1.0), relevant)
    best = by_ir_measures(placed(scores, relevant, 0.0), relevant)
    for name, value in found.items():
        assert worst[name] - 1e-9 <= value <= best[name] + 1e-9
    assert worst != best


def test_the_middle_rank_is_the_mean_over_all_orders_of_a_tie() -> None:
    scores, relevant = random_case(3, 4)
    single = np.zeros_like(relevant)
    single[np.arange(12), relevant.argmax(axis=1)] = True
    ranks = [
        np.mean([1 + (placed(scores, single, share)[q] > placed(scores, single, share)[q, g]).sum()])
        for share in (0.0, 1.0)
        for q, g in zip(*np.nonzero(single), strict=True)
    ]
    # All places within a tie are equally likely, so the mean is that of the first and the last.
    assert retrieval_metrics(scores, single)["meanr"] == pytest.approx(np.mean(ranks))
