"""Re-ranking against a slow way: sort by (in the block, its score) and read the ranks off."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation import (
    MatrixScores,
    Positives,
    rerank,
    retrieval_metrics,
    summarise,
)
from dragoman.evaluation import ranks as ranks_module
from dragoman.evaluation.ranks import Ranks


def slow(first: NDArray, second: NDArray, relevant: NDArray, depth: int) -> list[list[float]]:
    """Ranks of the positives of each query."""
    found = []
    for row, slow_row, own in zip(first, second, relevant, strict=True):
        block = [(row >= row[g]).sum() <= depth for g in range(len(row))]
        keys = [(1, slow_row[g]) if block[g] else (0, row[g]) for g in range(len(row))]
        positives = sorted((keys[g] for g in np.flatnonzero(own)), reverse=True)
        negatives = [keys[g] for g in np.flatnonzero(~own)]
        found.append(
            [
                i + sum(other > key for other in negatives) + 0.5 * sum(other == key for other in negatives)
                for i, key in enumerate(positives, start=1)
            ]
        )
    return found


def lists(ranks: Ranks) -> list[list[float]]:
    return [part.tolist() for part in np.split(ranks.rho, ranks.start[1:-1])]


def matcher(second: NDArray):
    return lambda query, entry: second[query, entry]


@pytest.mark.parametrize("depth", [1, 3, 8, 20])
@pytest.mark.parametrize("levels", [3, 1000])
def test_ranks_are_those_of_the_slow_way(depth: int, levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(depth + levels)
    # Few levels make ties everywhere, at the border of the block as well.
    first = draws.integers(levels, size=(15, 12)).astype(np.float32)
    second = draws.integers(levels, size=(15, 12)).astype(np.float32)
    relevant = draws.random((15, 12)) < 0.25
    relevant[np.arange(15), draws.integers(12, size=15)] = True
    positives = Positives.from_matrix(relevant)
    found = rerank(MatrixScores(first), matcher(second), positives, depth=depth)
    assert lists(found) == slow(first, second, relevant, depth)
    monkeypatch.setattr(ranks_module, "BLOCK_ENTRIES", 24)
    again = rerank(MatrixScores(first), matcher(second), positives, depth=depth)
    np.testing.assert_array_equal(again.rho, found.rho)


def test_ranks_without_ties_are_a_permutation_with_the_first_order_behind() -> None:
    first = np.array([[0.9, 0.1, 0.8, 0.3, 0.7]])
    second = np.array([[0.0, 9.0, 5.0, 8.0, 2.0]])
    places = [
        int(
            rerank(
                MatrixScores(first),
                matcher(second),
                Positives.from_items(["x"], ["x" if g == item else "" for g in range(5)]),
                depth=3,
            ).best[0]
        )
        for item in range(5)
    ]
    # Entries 2, 4, 0 in the order of the second stage; then 3 and 1, whatever the second stage says of them.
    assert places == [3, 5, 1, 4, 2]


def test_depth_beyond_the_gallery_is_the_second_stage_alone() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.standard_normal((2, 6, 7)).astype(np.float32)
    relevant = np.eye(6, 7, dtype=bool)
    found = rerank(MatrixScores(first), matcher(second), Positives.from_matrix(relevant), depth=99)
    assert summarise(found) == retrieval_metrics(second, relevant)


def test_only_the_block_is_matched_and_a_tie_at_its_border_is_never_cut() -> None:
    seen: list[tuple[int, int]] = []

    def match(query: NDArray, entry: NDArray) -> NDArray:
        seen.extend(zip(query.tolist(), entry.tolist(), strict=True))
        return np.zeros(len(query))

    first = np.array([[3.0, 2, 2, 1], [5, 4, 4, 4], [1, 1, 1, 1]])
    found = rerank(MatrixScores(first), match, Positives.from_matrix(np.eye(3, 4, dtype=bool)), depth=3)
    # Three tie for two places behind the best of query 1; all of query 2 tie.
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert found.best.tolist() == [2, 3, 2.5]


def test_listed_hits_are_the_block_and_then_the_first_order() -> None:
    first, second = np.array([[0.5, 0.9, 0.1, 0.8, 0.3]]), np.array([[0.0, -4.0, 0.0, -3.5, 0.0]])
    found = rerank(
        MatrixScores(first), matcher(second), Positives.from_matrix([[1, 0, 0, 0, 0]]), depth=2, listed=4
    )
    assert found.top_index.tolist() == [[3, 1, 0, 4]]
    np.testing.assert_allclose(found.top_score, [[-3.5, -4, -5, -5.2]], rtol=1e-6)
    # Where all tie, nothing is re-ranked.
    tied = rerank(
        MatrixScores(np.ones((1, 3))), matcher(second), Positives.from_matrix([[0, 1, 0]]), depth=2, listed=2
    )
    assert (tied.top_index.tolist(), tied.top_score.tolist(), tied.best.tolist()) == ([[0, 1]], [[1, 1]], [2])


def test_what_is_no_score_is_refused() -> None:
    positives = Positives.from_matrix(np.eye(2, dtype=bool))
    with pytest.raises(UserError, match=r"query 1 .* are not all finite"):
        rerank(MatrixScores([[1, 2], [3, -np.inf]]), matcher(np.eye(2)), positives, depth=1)
    with pytest.raises(UserError, match="2 of them not finite"):
        rerank(MatrixScores(np.eye(2)), matcher(np.full((2, 2), np.nan)), positives, depth=1)
    with pytest.raises(UserError, match="depth of at least 1, got 0"):
        rerank(MatrixScores(np.eye(2)), matcher(np.eye(2)), positives, depth=0)


def test_a_block_alone_has_no_complete_ranks_and_is_refused() -> None:
    # What lies behind the block was not scored.
    scores = np.array([[0.9, 0.8, -np.inf, -np.inf], [-np.inf, 0.2, 0.7, -np.inf]])
    for relevant in ([[0, 1, 0, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 1, 0, 1]]):
        with pytest.raises(
            UserError, match=r"Ranks must be complete: behind a re-ranked block, keep the order"
        ):
            retrieval_metrics(scores, relevant)
    # Negatives that were not scored are no obstacle.
    assert retrieval_metrics(scores, [[0, 1, 0, 0], [0, 0, 1, 0]])["meanr"] == 1.5
