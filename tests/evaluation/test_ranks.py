"""Streaming ranks from embeddings: equal to the full matrix, true ties kept, whatever the block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.evaluation import DotScores, MatrixScores, Positives, rank_queries, rank_scores, summarise
from dragoman.evaluation import ranks as ranking
from dragoman.evaluation.ranks import CACHED_ENTRIES, blocks


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def captions_and_images() -> tuple[np.ndarray, np.ndarray, Positives, Positives]:
    images, captions = unit(37, 64, 1), unit(150, 64, 2)
    owner = [str(i % 37) for i in range(150)]
    names = [str(i) for i in range(37)]
    return captions, images, Positives.from_items(owner, names), Positives.from_items(names, owner)


def slow_ranks(scores: np.ndarray, relevant: np.ndarray) -> list[float]:
    """One comparison of two numbers at a time, by the definition."""
    found = []
    for row, wanted in zip(scores.tolist(), relevant.tolist(), strict=True):
        own = sorted((s for s, is_wanted in zip(row, wanted, strict=True) if is_wanted), reverse=True)
        others = [s for s, is_wanted in zip(row, wanted, strict=True) if not is_wanted]
        for place, score in enumerate(own, 1):
            found.append(place + sum(s > score for s in others) + sum(s == score for s in others) / 2)
    return found


@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    levels=st.sampled_from([1, 2, 5, 1000]),
    positives=st.sampled_from(["one", "some", "most"]),
    transposed=st.booleans(),
    block=st.integers(1, 31),
    few=st.sampled_from([0, 4, 16, 1_000_000]),
    cached=st.sampled_from([1, 40, 1000]),
)
@settings(deadline=None, max_examples=300)
def test_ranks_are_those_of_the_slow_way(
    seed: int,
    shape: tuple[int, int],
    levels: int,
    positives: str,
    transposed: bool,
    block: int,
    few: int,
    cached: int,
) -> None:
    random = np.random.default_rng(seed)
    scores = (random.integers(0, levels, shape) / 8).astype(np.float32)
    relevant = random.random(shape) < {"one": 0, "some": 0.2, "most": 0.9}[positives]
    relevant[np.arange(len(relevant)), random.integers(0, shape[1], len(relevant))] = True
    # A transposed matrix lies in memory by columns, and so does what is relevant.
    laid_out = (np.asfortranarray(one) if transposed else one for one in (scores, relevant))
    given_scores, given_relevant = laid_out
    with pytest.MonkeyPatch.context() as patch:
        # Few scores reach a positive, or all of them, or too many after some parts.
        patch.setattr(ranking, "FEW", few)
        patch.setattr(ranking, "CACHED_ENTRIES", cached)
        ranks = rank_scores(MatrixScores(given_scores), Positives.from_matrix(given_relevant), block=block)
    assert ranks.rho.tolist() == slow_ranks(scores, relevant)


@pytest.mark.parametrize("gallery", [255 * 8, 255 * 8 + 1, 2 * 255 * 8 + 7])
def test_a_byte_that_counts_never_runs_over(gallery: int) -> None:
    # All tie, all are above, none is above; and more queries than are compared at a time.
    queries = 3 * (CACHED_ENTRIES // gallery) + 2
    scores = np.zeros((queries, gallery), np.float32)
    scores[1:, 0], scores[2:, 0] = -1, 1
    relevant = np.zeros((queries, gallery), bool)
    relevant[:, 0] = True
    for order in (np.ascontiguousarray, np.asfortranarray):
        ranks = rank_scores(MatrixScores(order(scores)), Positives.from_matrix(relevant))
        assert ranks.rho.tolist() == [(gallery + 1) / 2, gallery] + [1] * (queries - 2)


def test_queries_with_few_and_many_positives_are_ranked_side_by_side() -> None:
    scores = np.array([[3, 1, 2, 2], [1, 1, 1, 1], [4, 3, 2, 1]], np.float32)
    relevant = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]], bool)
    ranks = rank_scores(MatrixScores(scores), Positives.from_matrix(relevant))
    assert ranks.rho.tolist() == [4, 1, 2, 3, 4, 2, 4]


def test_float32_scores_are_not_copied_and_not_changed() -> None:
    scores = np.array([[0.5, 0.25]], np.float32)
    assert MatrixScores(scores).rows(0, 1).base is scores
    assert scores.tolist() == [[0.5, 0.25]]


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_the_block_size_changes_no_rank_and_no_score(block: int) -> None:
    captions, images, to_image, to_text = captions_and_images()
    for queries, gallery, positives in [(captions, images, to_image), (images, captions, to_text)]:
        whole = MatrixScores(DotScores(queries, gallery).rows(0, len(queries)))
        expected = rank_scores(whole, positives, depth=5)
        found = rank_queries(queries, gallery, positives, block=block, depth=5)
        np.testing.assert_array_equal(found.rho, expected.rho)
        np.testing.assert_array_equal(found.top_index, expected.top_index)
        np.testing.assert_array_equal(found.top_score, expected.top_score)


def test_scores_are_the_float64_products_rounded_to_float32() -> None:
    captions, images, _, _ = captions_and_images()
    truth = captions.astype(np.float64) @ images.astype(np.float64).T
    assert np.abs(DotScores(captions, images).rows(0, 150) - truth).max() < 1e-7


@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
def test_vectors_of_any_length_keep_float32_precision(scale: float) -> None:
    captions, images, _, _ = captions_and_images()
    truth = (captions * scale).astype(np.float64) @ images.astype(np.float64).T
    assert np.abs(DotScores(captions * np.float32(scale), images).rows(0, 150) - truth).max() < 2e-7 * scale


@given(seed=st.integers(0, 10_000), width=st.integers(1, 300), copies=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_equal_vectors_always_tie_wherever_they_stand(seed: int, width: int, copies: int) -> None:
    random = np.random.default_rng(seed)
    gallery = np.concatenate([unit(50, width, seed), np.repeat(unit(1, width, seed + 1), copies, axis=0)])
    order = random.permutation(len(gallery))
    scores = DotScores(unit(9, width, seed + 2), gallery[order]).rows(0, 9)
    twins = scores[:, np.isin(order, np.arange(50, 50 + copies))]
    assert (twins == twins[:, :1]).all()


def test_duplicate_captions_share_the_middle_rank_in_both_directions() -> None:
    images = unit(4, 16, 3)
    captions = np.stack([images[0], images[1], images[0], images[3]])
    found = rank_queries(images[:1], captions, Positives.from_items(["a"], ["a", "b", "c", "d"]))
    assert found.best.tolist() == [1.5]


def test_the_order_of_the_summed_dimensions_changes_no_bit() -> None:
    captions, images, _, _ = captions_and_images()
    order = np.random.default_rng(5).permutation(64)
    moved = DotScores(captions[:, order], images[:, order]).rows(0, 150)
    np.testing.assert_array_equal(moved, DotScores(captions, images).rows(0, 150))


def test_listed_hits_are_sorted_and_ties_stand_in_gallery_order() -> None:
    scores = MatrixScores([[0.5, 0.9, 0.5, 0.1, 0.5, 0.9]])
    found = rank_scores(scores, Positives.from_matrix([[0, 0, 1, 0, 0, 0]]), depth=4)
    assert found.top_index.tolist() == [[1, 5, 0, 2]]
    assert found.rho.tolist() == [4.0]


def test_image_queries_rank_all_their_captions() -> None:
    scores = MatrixScores([[0.9, 0.8, 0.8, 0.1], [0.2, 0.3, 0.1, 0.4]])
    positives = Positives.from_items(["x", "y"], ["x", "x", "y", "y"])
    assert rank_scores(scores, positives).rho.tolist() == [1.0, 2.5, 1.0, 4.0]


def test_a_perfect_model_scores_perfectly() -> None:
    images = unit(20, 8, 4)
    positives = Positives.from_items([str(i) for i in range(20)], [str(i) for i in range(20)])
    assert summarise(rank_queries(images, images, positives)) == {
        "recall@1": 100, "recall@5": 100, "recall@10": 100, "medr": 1, "meanr": 1, "map": 100, "ndcg@10": 100,
    }  # fmt: skip


def test_widths_that_differ_are_refused() -> None:
    with pytest.raises(UserError, match="Queries are 8 wide and the gallery 9"):
        DotScores(unit(2, 8, 0), unit(2, 9, 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused_with_their_row(bad: float) -> None:
    broken = unit(5, 4, 0)
    broken[3, 1] = bad
    with pytest.raises(UserError, match="gallery hold NaN or infinity, first in row 3"):
        DotScores(unit(2, 4, 0), broken)


def test_a_caption_whose_image_is_not_in_the_gallery_is_refused() -> None:
    with pytest.raises(UserError, match=r"2 of 4 queries have no positive in the gallery, first query 1 "):
        Positives.from_items(["a", "b", "c", "d"], ["a", "c"])


def test_positives_outside_the_gallery_are_refused() -> None:
    positives = Positives.from_items(["a"], ["z", "y", "a"])
    with pytest.raises(UserError, match=r"the gallery has 2 entries \(0 to 1\)"):
        rank_queries(unit(1, 4, 0), unit(2, 4, 0), positives)
    # NumPy would take it for the last entry.
    with pytest.raises(UserError, match=r"at positions -1 to -1, but the gallery has 2 entries"):
        rank_queries(unit(1, 4, 0), unit(2, 4, 0), Positives(np.array([0, 1]), np.array([-1])))


def test_a_block_of_a_large_gallery_holds_a_query_at_least() -> None:
    assert list(blocks(3, 5_000_000)) == [(0, 1), (1, 2), (2, 3)]
    assert list(blocks(5, 2_000_000)) == [(0, 2), (2, 4), (4, 5)]


@pytest.mark.parametrize("block", [1, 2, 5])
@pytest.mark.parametrize("few", [0, 1_000_000])
@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_score_that_is_no_number_is_told_by_its_query_in_any_block(
    block: int, few: int, place: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "FEW", few)
    scores = np.zeros((5, 3), np.float32, order)
    scores[:, 2] = 1
    scores[3, place] = scores[4, 0] = np.nan
    positives = Positives.from_items(["c"] * 5, ["a", "b", "c"])
    with pytest.raises(UserError, match=r"scores of query 3 \(counted from 0\) hold NaN"):
        rank_scores(MatrixScores(scores), positives, block=block)


def test_positives_of_other_queries_are_refused() -> None:
    with pytest.raises(UserError, match="Positives of 1 queries given for 2 queries"):
        rank_queries(unit(2, 4, 0), unit(3, 4, 0), Positives.from_items(["a"], ["a"]))


def test_a_positive_named_twice_is_refused() -> None:
    twice = Positives(np.array([0, 2]), np.array([1, 1]))
    with pytest.raises(UserError, match="names the same positive twice"):
        rank_queries(unit(1, 4, 0), unit(3, 4, 0), twice)


def test_zero_vectors_score_zero() -> None:
    assert DotScores(np.zeros((1, 4), np.float32), unit(2, 4, 0)).rows(0, 1).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("exponent", range(15, 60))
def test_no_order_of_summation_loses_a_small_product(exponent: int) -> None:
    small = 2.0**-exponent
    query, gallery = np.array([[1, small, -1]], np.float32), np.array([[1, small, 1]], np.float32)
    # Left to right, 1 + small**2 - 1 drops the middle in plain float64 where 1 - 1 + small**2 keeps it.
    scores = {
        float(DotScores(query[:, order], gallery[:, order]).rows(0, 1)[0, 0])
        for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2])
    }
    assert scores == {small**2 if exponent <= 25 else 0.0}
