"""What is particular to PostgreSQL: transactions, lost connections, passwords, roles, the graph."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from index_world import Oracle, draw_vectors, make_entries
from postgres_setup import url

from dragoman.errors import MissingExtraError, UserError
from dragoman.records import Entry
from dragoman.stores import Store, parse
from dragoman.stores.postgres import Config, drop_store, open_store
from dragoman.stores.servers import table_name

psycopg = pytest.importorskip("psycopg")
from dragoman.stores.postgres import search  # noqa: E402


@pytest.fixture
def name() -> str:
    return uuid4().hex[:12]


@pytest.fixture
def index(name: str) -> Iterator[Store]:
    with open_store(Path(), Config(url=url()), 16, name) as opened:
        yield opened


def run_sql(*statements: str) -> list[tuple[object, ...]]:
    """Run statements as the owner of the server; the rows of the last one."""
    with psycopg.connect(url(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from index_world import draw_vectors, make_entries
from dragoman.stores.postgres import store
from dragoman.stores.postgres import Config, open_store

index = open_store(Path(), Config(url={url!r}), 16, {name!r})
index.add(make_entries(20, "first"), draw_vectors(20))
print("acknowledged", flush=True)
rows, genuine = 0, store.fields_of
def deadly(entry):
    global rows
    rows += 1
    if rows > 3000:
        os.kill(os.getpid(), signal.SIGKILL)
    return genuine(entry)
store.fields_of = deadly
index.add(make_entries({count}, "second"), draw_vectors({count}))
"""


@pytest.mark.parametrize("count", [4000, 3001], ids=["half way", "before the last"])
def test_a_kill_during_add_leaves_all_that_was_acknowledged_and_nothing_else(
    index: Store, name: str, count: int
) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), url=url(), name=name, count=count)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "acknowledged\n"), done.stderr
    assert [entry.item_id for entry in index.scan()] == sorted(e.item_id for e in make_entries(20, "first"))
    index.add(make_entries(2, "second"), draw_vectors(2))
    assert index.count() == 22


def test_an_update_that_fails_half_way_changes_nothing(index: Store, name: str) -> None:
    index.add([Entry(item_id="a"), Entry(item_id="b")], draw_vectors(2))
    table = table_name(name)
    run_sql(f"ALTER TABLE {table} ADD CONSTRAINT no CHECK (item_id <> 'b' OR fields ->> 'year' IS NULL)")
    changed = [Entry(item_id=item_id, metadata={"year": 1}) for item_id in "ab"]
    with pytest.raises(psycopg.errors.CheckViolation, match="no"):
        index.update(changed)
    assert index.get(["a", "b"]) == [Entry(item_id="a"), Entry(item_id="b")]


def test_a_lost_connection_is_one_clear_error_and_the_next_call_connects_anew(index: Store) -> None:
    index.add([Entry(item_id="a")], draw_vectors(1))
    run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dragoman'")
    with pytest.raises(UserError, match=r"PostgreSQL at .*:5432/postgres failed \(.*\). Check that it runs"):
        index.count()
    assert index.count() == 1


@pytest.mark.parametrize("address", ["postgresql://me:h1dden@127.0.0.1:1/photos", "nonsense h1dden //"])
def test_no_error_repeats_the_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_POSTGRES_URL", address)
    with pytest.raises(UserError, match="DRAGOMAN_POSTGRES_URL") as caught:
        open_store(Path(), Config(), 16, "photos")
    assert "h1dden" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_comes_from_the_environment_and_is_not_described(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_POSTGRES_URL", f"{url()}&password=h1dden")
    with open_store(Path(), Config(), 16, name) as index:
        said = dict(index.describe())
    assert "h1dden" not in repr(said)
    assert (said["table"], said["server"]) == (f"public.{table_name(name)}", "18.4")
    assert said["search"] == "exact"


def test_an_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_POSTGRES_URL", raising=False)
    with pytest.raises(UserError, match="export DRAGOMAN_POSTGRES_URL=postgresql://"):
        open_store(Path(), Config(), 16, "photos")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("dragoman.stores.postgres.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'dragoman[postgres]'")):
        open_store(Path(), Config(), 16, "photos")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"m": 1}, "m must lie in"),
        ({"m": 40, "ef_construction": 64}, r"ef_construction must lie in \[80, 1000\], got 64"),
        ({"ef_search": 1001}, "ef_search must lie in"),
        ({"connections": 0}, "connections must lie in"),
        ({"url": "postgresql://me:secret@host/x"}, "in DRAGOMAN_POSTGRES_URL"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**settings)  # type: ignore[arg-type]


def test_a_schema_is_made_and_a_role_that_only_reads_can_search(name: str) -> None:
    reader = f"reader_{name}"
    with open_store(Path(), Config(url=url(), schema=f"s {name}"), 16, name) as index:
        index.add([Entry(item_id="a", metadata={"year": 1})], draw_vectors(1))
    run_sql(
        f"CREATE ROLE {reader} LOGIN",
        f'GRANT USAGE ON SCHEMA "s {name}" TO {reader}',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "s {name}" TO {reader}',
    )
    as_reader = Config(url=url().replace("postgres:@", f"{reader}:@"), schema=f"s {name}")
    with open_store(Path(), as_reader, 16, name) as index:
        assert index.search(draw_vectors(1), 1, parse("year=1")) == [[("a", pytest.approx(1.0))]]
        with pytest.raises(UserError, match=r"does not permit it .*Connect as a role that may"):
            index.delete(["a"])
        assert index.count() == 1


def test_a_database_without_pgvector_says_what_to_do(name: str) -> None:
    run_sql(f"CREATE ROLE owner_{name} LOGIN", f"CREATE DATABASE d_{name} OWNER owner_{name}")
    address = url().replace("postgres:@/postgres", f"owner_{name}:@/d_{name}")
    with pytest.raises(UserError, match=r"lacks pgvector.*CREATE EXTENSION vector"):
        open_store(Path(), Config(url=address), 16, name)


def test_a_table_that_was_dropped_is_named(index: Store, name: str) -> None:
    run_sql(f"DROP TABLE {table_name(name)}")
    with pytest.raises(UserError, match=r"table of this index is gone from .*Build the index again"):
        index.count()


def test_a_graph_takes_no_more_than_2000_numbers() -> None:
    with pytest.raises(UserError, match=r"2001 wide.*at most 2000.*--set approximate=false"):
        open_store(Path(), Config(url="postgresql://host/x", approximate=True), 2001, "photos")


@pytest.fixture
def graph(name: str) -> tuple[Store, Oracle]:
    """600 entries behind a graph that a search leaves early."""
    settings = Config(url=url(), approximate=True, least=500, m=4, ef_construction=8, ef_search=10)
    entries, vectors, oracle = make_entries(600), draw_vectors(600), Oracle()
    with open_store(Path(), settings, 16, name) as index:
        index.add(entries[:500], vectors[:500])
        index.build()
        index.add(entries[500:], vectors[500:])
        oracle.put(entries, vectors)
        yield index, oracle


def test_the_graph_finds_most_of_the_best_with_their_exact_scores(graph: tuple[Store, Oracle]) -> None:
    index, oracle = graph
    queries = draw_vectors(20, seed=1)
    hits = 0
    for found, every in zip(index.search(queries, 10), oracle.search(queries, 600), strict=True):
        assert found == [(item_id, dict(every)[item_id]) for item_id, _ in found]
        assert len(found) == 10
        hits += len({item_id for item_id, _ in found} & {item_id for item_id, _ in every[:10]})
    assert hits >= 140


def test_the_graph_is_built_when_there_are_entries_enough_and_its_recall_is_measured(name: str) -> None:
    settings = Config(url=url(), approximate=True, least=50, m=4, ef_construction=8, build_memory="16MB")
    with open_store(Path(), settings, 16, name) as index:
        index.add(make_entries(49), draw_vectors(49))
        index.build()
        assert index.describe()["search"] == "exact"
        index.add([Entry(item_id="fiftieth")], draw_vectors(1, seed=1))
        index.build()
        said = dict(index.describe())
        assert (said["search"], said["m"], said["ef_construction"], said["ef_search"]) == (
            "approximate",
            4,
            8,
            100,
        )
        # So many candidates are all there are.
        assert (said["recall@10"], said["measured_with"]) == (1.0, "20 stored vectors")
        index.build(draw_vectors(3, seed=2))
        assert index.describe()["measured_with"] == "3 queries"


def test_recall_is_the_share_of_the_best_that_is_found(
    graph: tuple[Store, Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = graph
    genuine = search.search_nearby
    monkeypatch.setattr(search, "search_nearby", lambda *given: genuine(*given)[:0])
    index.build(draw_vectors(4, seed=1))
    assert index.describe()["recall@10"] == 0.0


def test_a_table_can_be_dropped(index: Store, name: str) -> None:
    index.add([Entry(item_id="a")], draw_vectors(1))
    for _ in range(2):
        drop_store(Path(), Config(url=url()), name)
    assert run_sql(f"SELECT to_regclass('{table_name(name)}')") == [(None,)]


def test_a_filter_that_few_entries_pass_finds_them_all_beside_a_graph(graph: tuple[Store, Oracle]) -> None:
    index, oracle = graph
    rare = parse("year=2007 and place=Porto or item_id=photo-000000")
    query = draw_vectors(1, seed=2)
    assert 0 < len(oracle.passing(rare)) < 10
    assert index.search(query, 10, rare) == oracle.search(query, 10, rare)


def test_exact_search_never_takes_the_graph_and_approximate_search_does(
    graph: tuple[Store, Oracle], name: str
) -> None:
    from dragoman.stores.postgres.search import _EXACT, _NEAR

    vector = "'[" + ",".join(["0.25"] * 16) + "]'"
    plans = {}
    for query, count in ((_EXACT, 2), (_NEAR, 3)):
        filled = query.format(table=table_name(name), where="TRUE")
        for value in [vector] * (count - 1) + ["10"]:
            filled = filled.replace("%s", value, 1)
        rows = run_sql("SET enable_seqscan = off", "SET enable_sort = off", f"EXPLAIN {filled}")
        plans[count] = " ".join(str(row[0]) for row in rows)
    assert "_graph" not in plans[2]
    assert "_graph" in plans[3]


def test_several_threads_share_a_few_connections(name: str) -> None:
    from threading import Thread

    with open_store(Path(), Config(url=url(), connections=2), 16, name) as index:
        index.add(make_entries(30), draw_vectors(30))
        found: list[object] = []
        threads = [
            Thread(target=lambda: found.append(index.search(draw_vectors(3, seed=3), 5))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [index.search(draw_vectors(3, seed=3), 5)] * 8
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dragoman'"
        assert run_sql(count) == [(2,)]
    assert run_sql(count) == [(0,)]


def test_vectors_of_odd_widths_are_kept_whole(name: str) -> None:
    with open_store(Path(), Config(url=url()), 3000, name) as index:
        vectors = draw_vectors(3, width=3000)
        index.add(make_entries(3), vectors)
        ids = [entry.item_id for entry in make_entries(3)]
        np.testing.assert_array_equal(index.vectors(ids), vectors)
        assert [match.item_id for match in index.search(vectors[1:2], 1)[0]] == [ids[1]]
