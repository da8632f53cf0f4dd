from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dragoman.models.buckets import length_buckets, run_by_length


def test_buckets_go_by_length_within_the_budget() -> None:
    found = length_buckets(torch.tensor([5, 1, 2, 5, 2]), budget=6)
    assert [bucket.tolist() for bucket in found] == [[1, 2, 4], [0], [3]]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.integers(1, 200))
def test_every_row_stands_in_one_bucket_of_bounded_size(lengths: list[int], budget: int) -> None:
    found = [bucket.tolist() for bucket in length_buckets(torch.tensor(lengths), budget)]
    assert sorted(row for bucket in found for row in bucket) == list(range(len(lengths)))
    for bucket in found:
        longest = max(lengths[row] for row in bucket)
        assert len(bucket) == 1 or len(bucket) * longest <= budget


def test_results_come_back_in_order_whatever_the_buckets() -> None:
    lengths = torch.tensor([3, 1, 4, 1])
    mask = torch.arange(4)[None, :] < lengths[:, None]
    embedded = torch.arange(16.0).reshape(4, 4)
    seen: list[tuple[int, int]] = []

    def function(embedded: Tensor, mask: Tensor) -> dict[str, Tensor]:
        seen.append(tuple(embedded.shape))  # type: ignore[arg-type]
        return {"sum": (embedded * mask).sum(1, keepdim=True), "tokens": (embedded * mask)[..., None]}

    found = run_by_length(function, embedded, mask, lengths, budget=4)
    assert seen == [(2, 1), (1, 3), (1, 4)]
    assert found["sum"].squeeze(1).tolist() == [0 + 1 + 2, 4, 8 + 9 + 10 + 11, 12]
    assert found["tokens"].squeeze(2).tolist() == (embedded * mask).tolist()
