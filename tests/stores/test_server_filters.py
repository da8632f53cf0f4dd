"""Any filter lets pass on a server what `satisfies` says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_world import Oracle, draw_vectors
from postgres_setup import url

from dragoman.records import Entry
from dragoman.stores import Filter, Store, postgres, qdrant
from dragoman.stores.filters import And, Compare, In, Not, Or

FIELDS = ("x", "y", 'odd."name"[0]', "item_id", "kind", "path", "missing")
NUMBERS = (
    -(2**63),
    -3,
    0,
    -0.0,
    1,
    1.0,
    0.1,
    2.5,
    1e23,
    1e300,
    5e-324,
    2**53,
    2**53 + 1,
    float(2**53),
    2**63 - 1,
)
TEXTS = (
    "",
    "a",
    "A",
    "é",
    "Z",
    "～",
    "😀",
    "1",
    "true",
    "a' OR TRUE --",
    "\\",
    "%s",
    '"',
    "x" * 300,
    "image",
    "07",
)
VALUES = (*NUMBERS, *TEXTS, True, False)

comparisons = st.builds(
    Compare,
    st.sampled_from(FIELDS),
    st.sampled_from(("=", "!=", "<", "<=", ">", ">=")),
    st.sampled_from(VALUES),
)
memberships = st.builds(In, st.sampled_from(FIELDS), st.lists(st.sampled_from(VALUES), max_size=4).map(tuple))
filters: st.SearchStrategy[Filter] = st.recursive(
    comparisons | memberships,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(And, st.lists(parts, max_size=3).map(tuple))
        | st.builds(Or, st.lists(parts, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


def every_entry() -> list[Entry]:
    """Each value alone and beside another, and fields that hide those of the entry."""
    entries = []
    for i, value in enumerate(VALUES):
        other = VALUES[(i * 7 + 3) % len(VALUES)]
        name = FIELDS[i % 2 * 2]
        metadata = {name: value, "y": (other, value)} if i % 5 else {"kind": (value, "image"), "path": other}
        entries.append(Entry(item_id=f"{i:02}", path=f"{i}.jpg" if i % 3 else None, metadata=metadata))
    return entries


@pytest.fixture(scope="module", params=["postgres", "qdrant"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Store, Oracle]]:
    with ExitStack() as stack:
        if request.param == "postgres":
            opened = postgres.open_store(Path(), postgres.Config(url=url()), 16, uuid4().hex)
        else:
            pytest.importorskip("qdrant_client")
            opened = qdrant.open_store(Path(), qdrant.Config(url=":memory:"), 16, uuid4().hex)
        index = stack.enter_context(opened)
        oracle = Oracle()
        index.add(every_entry(), draw_vectors(len(VALUES)))
        oracle.put(every_entry(), draw_vectors(len(VALUES)))
        yield index, oracle


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(filter=filters)
def test_a_filter_lets_pass_what_it_says(served: tuple[Store, Oracle], filter: Filter) -> None:
    index, oracle = served
    expected = oracle.passing(filter)
    assert index.scan(filter=filter) == expected
    assert index.count(filter) == len(expected)
    query = draw_vectors(1, seed=1)
    (found,) = index.search(query, 3, filter)
    assert [match.item_id for match in found] == [
        item_id for item_id, _ in oracle.search(query, 3, filter)[0]
    ]
