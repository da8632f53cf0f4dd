"""What the stores on a server share."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores import Match
from dragoman.stores.as_json import entry_of, record_of
from dragoman.stores.servers import (
    Candidate,
    fields_of,
    plain,
    recall,
    require_no_password,
    rescored,
    table_name,
)

NAMES = ["photos", "Photos", "photos_", "a b", "a-b", "", "x" * 41, "x" * 60, "ção", "générations/1", "_"]


def test_names_of_tables_are_plain_short_and_different() -> None:
    tables = [table_name(name) for name in NAMES]
    assert tables[0] == "dragoman_photos"
    assert all(set(table) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for table in tables)
    assert max(map(len, tables)) < 63 - len("_graph")
    assert len(set(tables)) == len(NAMES)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/photos",
        "postgresql://me:sec/ret@host:5432/photos",
        "https://:secret@host:6333",
        "host=localhost password=secret dbname=photos",
        "postgresql://host/photos?user=me&password = secret",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UserError, match=r"holds a password.*and do this instead") as caught:
        require_no_password(url, "do this instead")
    assert "sec" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "url", ["", "postgresql://me@host:5432/photos", "postgresql://me:@/photos?host=/run", "http://host:6333"]
)
def test_an_address_without_a_password_is_fine(url: str) -> None:
    require_no_password(url, "")


def test_fields_are_the_values_that_filters_see() -> None:
    entry = Entry(item_id="a", path=None, metadata={"year": 2.0, "tag": ("x", True, 1.5), "kind": "own"})
    assert fields_of(entry) == {"kind": ["own"], "item_id": ["a"], "year": [2], "tag": ["x", True, 1.5]}
    assert type(fields_of(entry)["year"][0]) is int
    assert entry_of("a", record_of(entry)) == entry


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.text())
def test_plain_values_are_equal_to_what_they_were(value: float | int | bool | str) -> None:
    assert plain(value) == value
    assert isinstance(plain(value), bool) == isinstance(value, bool)


# A server's sums in single precision, off by as much as such a sum can be.
NUMBERS = (-0.5, 0.0, 0.25, 0.6, 0.8)


@settings(deadline=None)
@given(
    rows=st.lists(st.sampled_from(list(product(NUMBERS, NUMBERS))), max_size=60),
    errors=st.lists(st.sampled_from((-1.0, 0.0, 1.0)), min_size=60, max_size=60),
    k=st.integers(0, 20),
)
def test_the_best_are_those_of_double_precision(
    rows: list[tuple[float, float]], errors: list[float], k: int
) -> None:
    query = np.array([0.6, 0.8], np.float32)
    vectors = np.array(rows, np.float32).reshape(-1, 2)
    exact = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    served = [
        Candidate(f"{i:02}", float(exact[i]) + errors[i] * 2.0**-23, vectors[i]) for i in range(len(vectors))
    ]
    served.sort(key=lambda one: -one.score)
    right = sorted((-float(score), f"{i:02}") for i, score in enumerate(exact))[:k]
    assert rescored(query, k, lambda count: served[:count]) == [(item_id, -score) for score, item_id in right]


def test_scores_that_differ_by_rounding_only_are_ties() -> None:
    row = np.array([0.6, 0.8], np.float32)
    # The server's sums go down as the ids do, by less than single precision can tell.
    served = [Candidate(f"{29 - i:02}", 1.0 - i * 2.0**-26, row) for i in range(30)]
    found = rescored(row, 2, lambda count: served[:count])
    assert [match.item_id for match in found] == ["00", "01"]
    assert found[0].score == found[1].score


def test_recall_is_the_share_of_the_right_answers() -> None:
    a, b, c = (Match(name, 1.0) for name in "abc")
    assert recall([[a, b], [c]], [[a, c], [c, b]]) == 0.5
    assert recall([], []) == recall([[]], [[]]) == 1.0


def test_candidates_are_fetched_until_they_are_enough_or_too_many() -> None:
    same = [Candidate(f"{i:03}", 1.0, np.array([1.0], np.float32)) for i in range(500)]
    asked: list[int] = []

    def fetch(count: int) -> list[Candidate]:
        asked.append(count)
        return same[:count]

    assert [match.item_id for match in rescored(np.ones(1, np.float32), 2, fetch)] == ["000", "001"]
    assert asked == [10, 40, 160, 640]
    asked.clear()
    rescored(np.ones(1, np.float32), 2, fetch, at_most=100)
    assert asked == [10, 40, 160]
