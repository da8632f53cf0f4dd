from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragoman.models.attention import SharedAttention, masked_mean, run_by_length


def block(width: int = 12, released: bool = False) -> SharedAttention:
    torch.manual_seed(0)
    made = SharedAttention(width, heads=2, key_width=8, dropout=0.1, released_scale=released)
    return made.eval()


def test_the_block_has_the_published_size() -> None:
    found = SharedAttention(768, heads=8, key_width=512, dropout=0.1)
    assert sum(weight.numel() for weight in found.parameters()) == 1_970_176


def test_cross_attention_to_oneself_is_self_attention_without_residual() -> None:
    attention, states = block(), torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    before_norm = attention.attend(states, states, mask, mask)
    torch.testing.assert_close(attention.cross(states, states, mask, mask), attention.norm(before_norm))
    torch.testing.assert_close(attention(states, mask), attention.norm(before_norm + states))


@pytest.mark.parametrize(("released", "divisor"), [(False, math.sqrt(4)), (True, math.sqrt(6))])
def test_logits_are_divided_by_the_root_of_the_key_width(released: bool, divisor: float) -> None:
    attention, query, memory = block(released=released), torch.randn(1, 3, 12), torch.randn(1, 4, 12)
    heads = []
    for head in range(2):
        keys, values = slice(4 * head, 4 * head + 4), slice(6 * head, 6 * head + 6)
        logits = attention.query(query)[0][:, keys] @ attention.key(memory)[0][:, keys].T / divisor
        heads.append(logits.softmax(1) @ attention.value(memory)[0][:, values])
    expected = attention.out(torch.cat(heads, dim=1))
    mask = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(attention.attend(query, memory, mask, mask[:, :3])[0], expected)


def test_padded_keys_have_no_say() -> None:
    attention, states = block(), torch.randn(1, 3, 12)
    padded = torch.cat([states, torch.full((1, 4, 12), 50.0)], dim=1)
    mask = torch.tensor([[True] * 3 + [False] * 4])
    torch.testing.assert_close(attention(padded, mask)[:, :3], attention(states, mask[:, :3]))


def test_the_masked_mean_leaves_padding_out() -> None:
    states = torch.tensor([[[1.0, 2], [3, 4], [90, 90]], [[5, 6], [7, 8], [9, 10]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(states, mask).tolist() == [[2, 3], [0, 0]]


def test_results_come_back_in_order_whatever_the_batches() -> None:
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


@pytest.mark.parametrize("mode", ["self", "cross"])
def test_padded_rows_attend_as_in_the_released_code(mode: str) -> None:
    torch.manual_seed(0)
    attention = SharedAttention(12, heads=2, key_width=8, dropout=0.1, released_padding=True).eval()
    query, memory = torch.randn(1, 5, 12), torch.randn(1, 4, 12)
    query_mask = torch.tensor([[True, True, True, False, False]])
    memory_mask = torch.tensor([[True, True, False, False]])
    if mode == "self":
        memory, memory_mask = query, query_mask
    # There, -10000 is added wherever not both rows are real.
    real = query_mask[0].float()[:, None] @ memory_mask[0].float()[None, :]
    heads = []
    for head in range(2):
        keys, values = slice(4 * head, 4 * head + 4), slice(6 * head, 6 * head + 6)
        logits = attention.query(query)[0][:, keys] @ attention.key(memory)[0][:, keys].T / 2
        heads.append((logits - 10_000 * (1 - real)).softmax(1) @ attention.value(memory)[0][:, values])
    expected = attention.out(torch.cat(heads, dim=1))
    found = attention.attend(query, memory, memory_mask, query_mask)[0]
    # Less than elsewhere: adding -10000 leaves float32 three digits behind the point.
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    plain = SharedAttention(12, heads=2, key_width=8, dropout=0.1).eval()
    plain.load_state_dict(attention.state_dict())
    other = plain.attend(query, memory, memory_mask, query_mask)[0]
    torch.testing.assert_close(other[:3], found[:3])
    assert (other[3:] - found[3:]).abs().max() > 0.01
