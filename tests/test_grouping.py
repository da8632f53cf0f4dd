from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.grouping import by_length, unique


def test_each_text_stands_once_in_the_order_of_first_appearance() -> None:
    assert unique(["b", "a", "b", "", "a"]) == (["b", "a", ""], [0, 1, 0, 2, 1])
    assert unique([]) == ([], [])


def test_batches_go_by_length_within_the_budget() -> None:
    assert by_length([5, 1, 2, 5, 2], tokens=6) == [[1, 2, 4], [0], [3]]
    assert by_length([5, 1, 2, 5, 2], rows=2) == [[1, 2], [4, 0], [3]]
    assert by_length([5, 1, 2, 5, 2], rows=2, tokens=4) == [[1, 2], [4], [0], [3]]
    assert by_length([5, 1, 2, 5, 2], kind=lambda length: length > 2) == [[1, 2, 4], [0, 3]]
    assert by_length([]) == []


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 200))
def test_every_row_stands_in_one_batch_of_bounded_size(lengths: list[int], budget: int) -> None:
    found = by_length(lengths, tokens=budget)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
