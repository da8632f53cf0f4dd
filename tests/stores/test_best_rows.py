"""The best rows of a matrix: exact whatever the sizes of blocks, with every row that equals the last."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import draw_vectors, unit

from dragoman.stores import best as _best


def slow(
    matrix: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None
) -> list[dict[int, float]]:
    """Slots and scores of each query: the k best and whatever equals the last of them."""
    answers = []
    for query in queries.astype(np.float64):
        scores = {
            slot: float(np.float32(np.dot(row.astype(np.float64), query)))
            for slot, row in enumerate(matrix)
            if allowed is None or allowed[slot]
        }
        last = sorted(scores.values(), reverse=True)[:k][-1:]
        answers.append({slot: score for slot, score in scores.items() if score >= (last[0] if last else 9)})
    return answers


def quick(
    matrix: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None
) -> list[dict[int, float]]:
    found = _best.best(matrix, queries, k, allowed)
    answers: list[dict[int, float]] = [{} for _ in queries]
    for query, slot, score in zip(*(column.tolist() for column in found), strict=True):
        answers[query][slot] = score
    assert list(found.queries) == sorted(found.queries)
    for answer in answers:
        assert list(answer.values()) == sorted(answer.values(), reverse=True)
    return answers


SIZES = {
    "seed": st.integers(0, 10_000),
    "rows": st.integers(0, 150),
    "queries": st.integers(1, 9),
    "k": st.integers(1, 60),
    "kinds": st.integers(1, 150),
}


@given(
    **SIZES,
    part=st.sampled_from([None, 0.0, 0.03, 0.15, 0.5, 0.95, 1.0]),
    block=st.sampled_from([1, 70, 400, 1 << 20]),
)
@settings(deadline=None, max_examples=150)
def test_it_finds_what_looking_at_every_row_finds(
    seed: int, rows: int, queries: int, k: int, kinds: int, part: float | None, block: int
) -> None:
    draw = np.random.default_rng(seed)
    # Few kinds of rows: many equal ones, at the places where blocks end as well.
    matrix = draw_vectors(kinds, seed, width=5)[draw.integers(kinds, size=rows)]
    asked = draw_vectors(queries, seed + 1, width=5)
    allowed = None if part is None else draw.random(rows) < part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_best, "BLOCK_SCORES", block)
        patch.setattr(_best, "GATHERED_ROWS", 37)
        patch.setattr(_best, "QUERIES_AT_ONCE", 4)
        patch.setattr(_best, "SCORED_AGAIN", 10)
        assert quick(matrix, asked, k, allowed) == slow(matrix, asked, k, allowed)


def test_rows_that_single_precision_cannot_tell_apart_are_in_order() -> None:
    """Rows whose scores differ by less than the error of a single-precision product."""
    base = draw_vectors(1, seed=3, width=512).astype(np.float64)
    steps = np.random.default_rng(4).standard_normal((400, 512)) * 3e-8
    matrix = unit(base + steps)
    queries = unit(base + 0.01 * draw_vectors(3, seed=5, width=512))
    assert quick(matrix, queries, 10, None) == slow(matrix, queries, 10, None)


def test_long_queries_are_as_exact_as_short_ones() -> None:
    matrix = np.repeat(draw_vectors(40, width=64), 3, axis=0)
    queries = 1000 * draw_vectors(5, seed=6, width=64)
    assert quick(matrix, queries, 7, None) == slow(matrix, queries, 7, None)
