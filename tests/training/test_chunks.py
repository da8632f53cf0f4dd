"""Texts cut into chunks: each handed out once, and both texts of a pair together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.training.views import Chunk, cut


def plain(chunk: Chunk) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Texts handed out, texts encoded besides, and the pairs, by their rows among all texts."""
    rows = chunk.texts.tolist()
    pairs = [(rows[s], rows[t]) for s, t in zip(chunk.source.tolist(), chunk.target.tolist(), strict=True)]
    return rows[: chunk.own], rows[chunk.own :], pairs


def test_without_pairs_texts_are_cut_in_their_order() -> None:
    assert [plain(chunk) for chunk in cut(5, [], 2)] == [([0, 1, 2], [], []), ([3, 4], [], [])]


def test_one_chunk_holds_all_in_order() -> None:
    (chunk,) = cut(4, [(0, 2), (1, 3)], 1)
    assert plain(chunk) == ([0, 1, 2, 3], [], [(0, 2), (1, 3)])


def test_source_and_target_stay_together() -> None:
    found = [plain(chunk) for chunk in cut(6, [(0, 3), (1, 4), (2, 5)], 3)]
    assert found == [([0, 3], [], [(0, 3)]), ([1, 4], [], [(1, 4)]), ([2, 5], [], [(2, 5)])]


def test_a_text_of_two_pairs_is_handed_out_once_and_encoded_twice() -> None:
    # The source 0 has two translations, 1 and 3; the pairs of 2 come between them.
    first, second = cut(4, [(0, 1), (2, 2), (0, 3)], 2)
    assert plain(first) == ([0, 1], [], [(0, 1)])
    assert plain(second) == ([2, 3], [0], [(2, 2), (0, 3)])
    assert second.pairs.tolist() == [1, 2]


def test_more_chunks_than_texts_hand_out_nothing_twice() -> None:
    assert [plain(chunk)[0] for chunk in cut(2, [], 3)] == [[0], [1], []]
    assert cut(2, [], 3)[2].texts.tolist() == [0]


@st.composite
def steps(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], int]:
    texts = draw(st.integers(1, 30))
    row = st.integers(0, texts - 1)
    return texts, draw(st.lists(st.tuples(row, row), max_size=30)), draw(st.integers(1, 8))


@settings(deadline=None)
@given(steps())
def test_every_text_and_every_pair_is_in_one_chunk(step: tuple[int, list[tuple[int, int]], int]) -> None:
    texts, pairs, parts = step
    chunks = cut(texts, pairs, parts)
    assert len(chunks) == parts
    assert sorted(row for chunk in chunks for row in plain(chunk)[0]) == list(range(texts))
    numbers = [number for chunk in chunks for number in chunk.pairs.tolist()]
    assert sorted(numbers) == list(range(len(pairs)))
    assert [pair for chunk in chunks for pair in plain(chunk)[2]] == [pairs[number] for number in numbers]
    for chunk in chunks:
        assert len(set(chunk.texts.tolist())) == len(chunk.texts) > 0


@pytest.mark.parametrize(("texts", "parts"), [(100, 7), (96, 8), (5, 2)])
def test_chunks_are_of_nearly_one_size(texts: int, parts: int) -> None:
    half = texts // 2
    found = [chunk.own for chunk in cut(texts, [(row, half + row) for row in range(half)], parts)]
    assert max(found) <= -(-texts // parts) + 1
    assert min(found) >= texts // parts - 1
