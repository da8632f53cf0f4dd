"""A table of PostgreSQL as a store: one a generation, made when it is opened first.

Nothing is made that is there, so that a role which may only read can search.

N entries, Q queries, D width of the vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import errors, sql
from psycopg.types.json import Json, Jsonb

from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores.as_json import entry_of, record_of
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
from dragoman.stores.postgres.search import Graph, look_at, search_exactly, search_nearby
from dragoman.stores.servers import fields_of, gone, possible

log = logging.getLogger(__name__)

OLDEST_PGVECTOR = (0, 8)
"""Version from which the graph is searched on until enough entries pass the filter."""

# "C" orders by code points, as all stores do; other collations change with the locale of the server. `json`
# keeps an entry as it was given; `jsonb` would sort its keys and write 1e300 in 301 digits. `fields` is only
# compared, and needs the operators of `jsonb`.
_TABLE = """
CREATE TABLE {table} (
  item_id text COLLATE "C" PRIMARY KEY,
  entry json NOT NULL,
  fields jsonb NOT NULL,
  vector vector({width}) NOT NULL
)
"""
# Rows of up to about 1900 numbers then stay whole: exact search reads them all, and following a pointer for
# each takes longer than the product.
_WHOLE = "ALTER TABLE {table} ALTER COLUMN vector SET STORAGE MAIN"
# jsonb_path_ops serves `@>`, which is all that equality asks, and is smaller and faster than the default.
_FIELDS = "CREATE INDEX ON {table} USING gin (fields jsonb_path_ops)"


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
        return np.array([found[item_id] for item_id in item_ids], np.float32).reshape(-1, self.width)

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
            return _number(connection, query, *parameters)

    def size(self) -> int:
        with self._pool.transaction() as connection:
            place = self._place.as_string(connection)
            return _number(connection, "SELECT pg_total_relation_size(%s::regclass)", place)

    def describe(self) -> Mapping[str, object]:
        with self._pool.transaction() as connection:
            version = _version(connection)
            server = connection.info.parameter_status("server_version")
            graph = self._graph.describe(connection) if self._config.approximate else {"search": "exact"}
        place = {"place": self._pool.place, "table": self._table}
        return {**graph, **place, "server": server, "pgvector": version}

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


def _number(connection: Connection, query: sql.Composed | str, *parameters: object) -> int:
    found = _one(connection, query, *parameters)
    assert isinstance(found, int)
    return found


def prepare(connection: Connection, config: Config, width: int, table: str, make: bool) -> None:
    """Make pgvector, the schema and the table where they are missing. Raises UserError where that cannot be
    done or the table holds vectors of another width, DamagedError where it is missing and not to be made."""
    lock(connection)
    _require_pgvector(connection)
    place = sql.Identifier(config.schema, table)
    found = _one(
        connection,
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'vector'",
        place.as_string(connection),
    )
    if found is None:
        if not make:
            raise gone(f"the table {config.schema}.{table}")
        _make_table(connection, config.schema, place, width)
    elif found != width:
        raise UserError(
            f"The table {config.schema}.{table} holds vectors {found} wide, and these are {width} wide. "
            "Write to another index folder, or to another schema: --set schema=NAME"
        )


def lock(connection: Connection) -> None:
    """Lock until the transaction ends: of two processes that open a new index at once, only one makes it."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('dragoman'))")


def drop(connection: Connection, config: Config, table: str) -> None:
    """Remove a table, where it is there."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(config.schema, table)))


def _make_table(connection: Connection, schema: str, place: sql.Identifier, width: int) -> None:
    if _one(connection, "SELECT to_regnamespace(%s)", sql.Identifier(schema).as_string(connection)) is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL(_TABLE).format(table=place, width=sql.Literal(width)))
    connection.execute(sql.SQL(_WHOLE).format(table=place))
    connection.execute(sql.SQL(_FIELDS).format(table=place))


def _require_pgvector(connection: Connection) -> None:
    if _version(connection) is None:
        try:
            # A transaction within: where it fails, the outer one goes on.
            with connection.transaction():
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise UserError(
                f"The database lacks pgvector, and it cannot be added here ({error.diag.message_primary}). "
                "Install it on the server (Debian: postgresql-18-pgvector) and let a superuser run: "
                "CREATE EXTENSION vector"
            ) from None
    version = _version(connection) or ""
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PGVECTOR:
        raise UserError(
            f"The database has pgvector {version}, and 0.8 or newer is needed. "
            "Upgrade it on the server, and let a superuser run: ALTER EXTENSION vector UPDATE"
        )


def _version(connection: Connection) -> str | None:
    found = _one(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    return None if found is None else str(found)


def _one(connection: Connection, query: sql.Composed | str, *parameters: object) -> object:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
