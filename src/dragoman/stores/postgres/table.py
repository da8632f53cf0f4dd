"""A table of PostgreSQL as a store.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Json, Jsonb

from dragoman.records import Entry
from dragoman.stores.checks import (
    already_there,
    check_after,
    check_entries,
    checked_queries,
    checked_vectors,
    not_there,
)
from dragoman.stores.contract import Match, Store
from dragoman.stores.filters import Filter
from dragoman.stores.postgres.config import Config
from dragoman.stores.postgres.filters import condition_of
from dragoman.stores.postgres.pool import Connection, Pool
from dragoman.stores.postgres.schema import lock
from dragoman.stores.postgres.search import Graph, look_at, search_exactly, search_nearby
from dragoman.stores.servers import entry_of, fields_of, possible, record_of

log = logging.getLogger(__name__)


class PostgresStore(Store):
    """Columns: the id, the entry as it was given, the values that filters compare, the vector."""

    def __init__(self, pool: Pool, config: Config, width: int, table: str) -> None:
        self.width = width
        self._pool = pool
        self._config = config
        self._table = f"{config.schema}.{table}"
        self._place = sql.Identifier(config.schema, table)
        self._graph = Graph(config, table)

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        check_entries(entries)
        vectors_ND = checked_vectors(vectors, entries, self.width)
        with self._pool.transaction() as connection:
            known = self._known(connection, entries)
            if known:
                raise already_there(sorted(known))
            rows = self._sql("COPY {table} (item_id, entry, fields, vector) FROM STDIN WITH (FORMAT binary)")
            with connection.cursor() as cursor, cursor.copy(rows) as copy:
                copy.set_types(["text", "json", "jsonb", "vector"])
                for entry, vector_D in zip(entries, vectors_ND, strict=True):
                    copy.write_row((entry.item_id, record_of(entry), fields_of(entry), vector_D))

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        check_entries(entries)
        changed: list[list[Any]] = [[Json(record_of(entry)), Jsonb(fields_of(entry))] for entry in entries]
        columns = "entry = %s, fields = %s"
        if vectors is not None:
            columns += ", vector = %s"
            for row, vector_D in zip(changed, checked_vectors(vectors, entries, self.width), strict=True):
                row.append(vector_D)
        for row, entry in zip(changed, entries, strict=True):
            row.append(entry.item_id)
        with self._pool.transaction() as connection:
            known = self._known(connection, entries)
            missing = [entry.item_id for entry in entries if entry.item_id not in known]
            if missing:
                raise not_there(missing)
            with connection.cursor() as cursor:
                cursor.executemany(
                    self._sql("UPDATE {table} SET " + columns + " WHERE item_id = %s"), changed
                )

    def delete(self, item_ids: Iterable[str]) -> int:
        with self._pool.transaction() as connection:
            query = self._sql("DELETE FROM {table} WHERE item_id = ANY(%s)")
            return connection.execute(query, [possible(item_ids)]).rowcount

    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        vectors_QD = checked_queries(vectors, self.width)
        search = search_nearby if self._config.approximate else search_exactly
        with self._pool.transaction() as connection:
            if self._config.approximate:
                look_at(connection, self._config.ef_search)
            return [search(connection, self._place, vector_D, k, filter) for vector_D in vectors_QD]

    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        with self._pool.transaction() as connection:
            query = self._sql("SELECT item_id, entry FROM {table} WHERE item_id = ANY(%s)")
            rows = connection.execute(query, [possible(item_ids)]).fetchall()
        found = {item_id: entry_of(item_id, record) for item_id, record in rows}
        return [found.get(item_id) for item_id in item_ids]

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        with self._pool.transaction() as connection:
            query = self._sql("SELECT item_id, vector FROM {table} WHERE item_id = ANY(%s)")
            rows = connection.execute(query, [possible(item_ids)], binary=True).fetchall()
        found = {item_id: vector.to_numpy() for item_id, vector in rows}
        vectors_ND = np.empty((len(item_ids), self.width), np.float32)
        for place, item_id in enumerate(item_ids):
            vectors_ND[place] = found[item_id]
        return vectors_ND

    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        check_after(after)
        where, parameters = condition_of(filter)
        query = "SELECT item_id, entry FROM {table} WHERE item_id > %s AND {where} ORDER BY item_id LIMIT %s"
        with self._pool.transaction() as connection:
            rows = connection.execute(self._sql(query, where=where), [after, *parameters, limit]).fetchall()
        return [entry_of(item_id, record) for item_id, record in rows]

    def count(self, filter: Filter | None = None) -> int:
        where, parameters = condition_of(filter)
        query = self._sql("SELECT count(*) FROM {table} WHERE {where}", where=where)
        with self._pool.transaction() as connection:
            return _number(connection, query, parameters)

    def size(self) -> int:
        with self._pool.transaction() as connection:
            place = self._place.as_string(connection)
            return _number(connection, "SELECT pg_total_relation_size(%s::regclass)", [place])

    def describe(self) -> Mapping[str, object]:
        with self._pool.transaction() as connection:
            version = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
            server = connection.info.parameter_status("server_version")
            graph = self._graph.describe(connection) if self._config.approximate else {"search": "exact"}
        place = {"place": self._pool.place, "table": self._table}
        return {**graph, **place, "server": server, "pgvector": version and version[0]}

    def build(self, queries: NDArray[np.float32] | None = None) -> None:
        """Make the graph of approximate search where it is missing and there are entries enough for one, and
        measure its recall. Entries cannot be written meanwhile, but searched."""
        if not self._config.approximate:
            return
        given_QD = None if queries is None else checked_queries(queries, self.width)
        with self._pool.transaction() as connection:
            lock(connection)
            due = self._graph.is_due(connection)
            if due:
                log.info("building the graph of %s", self._table)
                self._graph.build(connection)
        if due or given_QD is not None:
            with self._pool.transaction() as connection:
                self._graph.measure(connection, given_QD)

    def close(self) -> None:
        self._pool.close()

    def _known(self, connection: Connection, entries: Sequence[Entry]) -> set[str]:
        query = self._sql("SELECT item_id FROM {table} WHERE item_id = ANY(%s)")
        return {row[0] for row in connection.execute(query, [[entry.item_id for entry in entries]])}

    def _sql(self, text: str, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(table=self._place, **parts)


def _number(connection: Connection, query: sql.Composed | str, parameters: Sequence[object]) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return int(row[0])
