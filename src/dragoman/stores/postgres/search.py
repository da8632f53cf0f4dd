"""Search of one table, exactly or by the graph (HNSW) beside it.

The graph is built when there are enough entries: at once that takes a tenth of the time that it takes entry
by entry. From then on PostgreSQL keeps it up with every change.

Q queries, D width of the vectors.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from dragoman.stores.contract import Match
from dragoman.stores.filters import Filter
from dragoman.stores.postgres.config import Config
from dragoman.stores.postgres.filters import condition_of
from dragoman.stores.postgres.pool import Connection
from dragoman.stores.servers import MEASURED, MEASURED_HITS, Candidate, measured, rescored

MOST_CANDIDATES = 1000

# Ordered by an expression that no graph is kept for, so that this is exact where there is one, too.
_EXACT = """
SELECT item_id, -(vector <#> %s) AS score, vector FROM {table} WHERE {where}
ORDER BY score DESC, item_id LIMIT %s
"""
_NEAR = """
SELECT item_id, -(vector <#> %s) AS score, vector FROM {table} WHERE {where}
ORDER BY vector <#> %s LIMIT %s
"""
# With a filter, the graph is searched on until enough of what it finds has passed.
_SETTINGS = (
    "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true)"
)


def search_exactly(
    connection: Connection, table: sql.Identifier, query_D: NDArray[np.float32], k: int, filter: Filter | None
) -> list[Match]:
    """The k best of all entries that pass."""
    where, parameters = condition_of(filter)
    query = sql.SQL(_EXACT).format(table=table, where=where)

    def fetch(count: int) -> list[Candidate]:
        return _found(connection, query, [query_D, *parameters, count])

    return rescored(query_D, k, fetch, MOST_CANDIDATES)


def look_at(connection: Connection, candidates: int) -> None:
    """Set how many candidates `search_nearby` looks at, in this transaction."""
    connection.execute(_SETTINGS, [str(candidates)])


def search_nearby(
    connection: Connection, table: sql.Identifier, query_D: NDArray[np.float32], k: int, filter: Filter | None
) -> list[Match]:
    """The k best that the graph leads to; all that pass, where these are few."""
    where, parameters = condition_of(filter)
    query = sql.SQL(_NEAR).format(table=table, where=where)
    enough = True

    def fetch(count: int) -> list[Candidate]:
        nonlocal enough
        found = _found(connection, query, [query_D, *parameters, query_D, count])
        # The graph is never searched whole: where few entries pass, it finds too few of them.
        enough = len(found) == count
        return sorted(found, key=lambda one: -one.score)

    matches = rescored(query_D, k, fetch, MOST_CANDIDATES)
    return matches if enough else search_exactly(connection, table, query_D, k, filter)


def _found(connection: Connection, query: sql.Composed, parameters: list[object]) -> list[Candidate]:
    rows = connection.execute(query, parameters, binary=True)
    return [Candidate(item_id, score, vector.to_numpy()) for item_id, score, vector in rows]


_BUILD = """
CREATE INDEX {graph} ON {table} USING hnsw (vector vector_ip_ops) WITH (m = {m}, ef_construction = {ef})
"""


class Graph:
    """The graph of one table; its comment in the database says what it finds."""

    def __init__(self, config: Config, table: str) -> None:
        self._config = config
        self._table = sql.Identifier(config.schema, table)
        self._name = sql.Identifier(f"{table}_graph")
        self._graph = sql.Identifier(config.schema, f"{table}_graph")

    def exists(self, connection: Connection) -> bool:
        """True once it was built."""
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [self._text(connection)]).fetchone()
        return row is not None and bool(row[0])

    def is_due(self, connection: Connection) -> bool:
        """True where it is missing, and there are entries enough."""
        enough = sql.SQL("SELECT count(*) >= %s FROM (SELECT FROM {table} LIMIT %s) AS first_ones")
        row = connection.execute(enough.format(table=self._table), [self._config.least] * 2).fetchone()
        return row is not None and bool(row[0]) and not self.exists(connection)

    def build(self, connection: Connection) -> None:
        """Make the graph; entries cannot be written meanwhile, but searched."""
        if self._config.build_memory:
            memory = "SELECT set_config('maintenance_work_mem', %s, true)"
            connection.execute(memory, [self._config.build_memory])
        settings = {"m": sql.Literal(self._config.m), "ef": sql.Literal(self._config.ef_construction)}
        connection.execute(sql.SQL(_BUILD).format(graph=self._name, table=self._table, **settings))

    def measure(self, connection: Connection, queries: NDArray[np.float32] | None) -> None:
        """Compare both searches for some of the queries, or for some stored vectors, and keep the recall as a
        comment."""
        if not self.exists(connection):
            return
        some_QD = self._stored(connection) if queries is None else queries[:MEASURED]
        look_at(connection, self._config.ef_search)
        said = measured(
            [search_nearby(connection, self._table, query_D, MEASURED_HITS, None) for query_D in some_QD],
            [search_exactly(connection, self._table, query_D, MEASURED_HITS, None) for query_D in some_QD],
            "stored vectors" if queries is None else "queries",
        )
        comment = sql.SQL("COMMENT ON INDEX {graph} IS {text}")
        connection.execute(comment.format(graph=self._graph, text=sql.Literal(json.dumps(said))))

    def describe(self, connection: Connection) -> dict[str, Any]:
        """Tell how it was built and what it finds; `search: exact` while there is none."""
        row = connection.execute(
            "SELECT reloptions, obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)",
            [self._text(connection)],
        ).fetchone()
        if row is None:
            return {"search": "exact"}
        built = dict(option.split("=") for option in row[0])
        found: dict[str, Any] = {"search": "approximate", "ef_search": self._config.ef_search}
        found |= {name: int(value) for name, value in built.items()}
        return {**found, **json.loads(row[1] or "{}")}

    def _stored(self, connection: Connection) -> list[NDArray[np.float32]]:
        some = sql.SQL("SELECT vector FROM {table} ORDER BY md5(item_id) LIMIT %s").format(table=self._table)
        rows = connection.execute(some, [MEASURED], binary=True)
        return [vector.to_numpy() for (vector,) in rows]

    def _text(self, connection: Connection) -> str:
        return self._graph.as_string(connection)
