"""Languages are joined by id; what cannot be joined is refused, and the message says what to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.evaluation import Ranked, Ranks, common_ids, join_ranks


def ranked(ranks: dict, gallery: int = 9) -> Ranked:
    return Ranked(ids=list(ranks), ranks=list(ranks.values()), gallery=gallery)


def test_common_ids_are_those_of_all_languages_ascending() -> None:
    slots = {
        "en": [("b", 1), ("b", 0), ("a", 0), ("c", 0)],
        "pt": [("a", 0), ("b", 0), ("b", 1)],
        "ar": [("b", 0), ("d", 0), ("a", 0)],
    }
    assert common_ids(slots) == [("a", 0), ("b", 0)]
    assert common_ids({"en": ["a"], "pt": ["b"]}) == []


@given(st.dictionaries(st.text(max_size=3), st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1),
       st.randoms(use_true_random=False))  # fmt: skip
@settings(deadline=None)
def test_rows_may_stand_in_any_order(pairs: dict[str, tuple[int, int]], random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    joined = join_ranks(
        {
            "en": ranked({one: pair[0] for one, pair in pairs.items()}),
            "pt": ranked({one: pairs[one][1] for one in shuffled}),
        }
    )
    assert joined.ids == sorted(pairs)
    assert joined.ranks.tolist() == [list(pairs[one]) for one in sorted(pairs)]


def test_hits_move_with_their_instance_and_equal_ids_get_equal_numbers() -> None:
    en = Ranked(ids=["x", "y"], ranks=[1, 2], gallery=2, top_ids=[["x", "y"], ["x", "y"]])
    pt = Ranked(ids=["y", "x"], ranks=[1, 2], gallery=2, top_ids=[["y", "x"], ["x", "y"]])
    top = join_ranks({"en": en, "pt": pt}).top
    assert top is not None
    names = np.array(["x", "y"])[top]
    assert names.tolist() == [[["x", "y"], ["x", "y"]], [["x", "y"], ["y", "x"]]]


def test_other_instances_are_refused_with_what_is_shared_and_the_way_out() -> None:
    with pytest.raises(UserError) as caught:
        join_ranks({"en": ranked({"a": 1, "b": 2, "c": 1}), "pt": ranked({"b": 1, "c": 2, "d": 3})})
    said = str(caught.value)
    assert "en and pt rank different instances: they share 2; 1 only in en, 1 only in pt" in said
    assert "(in en and pt alone: a, d)" in said
    assert "dragoman.evaluation.common_ids" in said
    assert "rank them again" in said


@pytest.mark.parametrize(
    ("pt", "message"),
    [
        (ranked({"a": 1, "b": 2}, gallery=8), "en was ranked against 9 entries and pt against 8"),
        (Ranked(ids=["a", "a", "b"], ranks=[1, 1, 1], gallery=9), "pt names a more than once"),
        (ranked({"a": 1, "b": float("nan")}), "pt rank of 'b' is nan, but the gallery has 9 entries"),
        (ranked({"a": 1, "b": 10}), "pt rank of 'b' is 10, but .* keep the order of the first stage"),
        (ranked({"a": 0, "b": 1}), "pt rank of 'a' is 0"),
        (Ranked(ids=["a", "b"], ranks=[1], gallery=9), r"pt has 2 ids, but ranks of shape \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(pt: Ranked, message: str) -> None:
    with pytest.raises(UserError, match=message):
        join_ranks({"en": ranked({"a": 1, "b": 2}), "pt": pt})


def test_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="No language given"):
        join_ranks({})


@pytest.mark.parametrize("rho", [np.nan, np.inf, 0.0, 5.5])
def test_metrics_refuse_ranks_that_are_not_complete(rho: float) -> None:
    nothing = np.empty((1, 0))
    with pytest.raises(UserError, match="not between 1 and 5, the size of the gallery"):
        Ranks(np.array([0, 1]), np.array([rho]), 5, nothing.astype(np.int64), nothing.astype(np.float32))
