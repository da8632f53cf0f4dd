"""Search of one table, exactly or by its graph.

D width of the vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from dragoman.stores.contract import Match
from dragoman.stores.filters import Filter
from dragoman.stores.postgres.filters import condition_of
from dragoman.stores.postgres.pool import Connection
from dragoman.stores.servers import Found, best

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

    def fetch(count: int) -> list[Found]:
        return _found(connection, query, [query_D, *parameters, count])

    return best(query_D, k, fetch, MOST_CANDIDATES)


def look_at(connection: Connection, candidates: int) -> None:
    """How many candidates `search_nearby` looks at, in this transaction."""
    connection.execute(_SETTINGS, [str(candidates)])


def search_nearby(
    connection: Connection, table: sql.Identifier, query_D: NDArray[np.float32], k: int, filter: Filter | None
) -> list[Match]:
    """The k best that the graph leads to; all that pass, where these are few."""
    where, parameters = condition_of(filter)
    query = sql.SQL(_NEAR).format(table=table, where=where)
    enough = True

    def fetch(count: int) -> list[Found]:
        nonlocal enough
        found = _found(connection, query, [query_D, *parameters, query_D, count])
        # The graph is never searched whole: where few entries pass, it finds too few of them.
        enough = len(found) == count
        return sorted(found, key=lambda one: -one.score)

    matches = best(query_D, k, fetch, MOST_CANDIDATES)
    return matches if enough else search_exactly(connection, table, query_D, k, filter)


def _found(connection: Connection, query: sql.Composed, parameters: list[object]) -> list[Found]:
    rows = connection.execute(query, parameters, binary=True)
    return [Found(item_id, score, vector.to_numpy()) for item_id, score, vector in rows]
