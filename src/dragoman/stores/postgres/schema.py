"""The tables of the store `postgres`: one a generation, made when it is opened first.

Nothing is made that is there, so that a role which may only read can search.
"""

from __future__ import annotations

from psycopg import errors, sql

from dragoman.errors import UserError
from dragoman.stores.postgres.config import Config
from dragoman.stores.postgres.pool import Connection

OLDEST_PGVECTOR = (0, 8)
"""Version from which the graph is searched on until enough entries pass the filter."""

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
_FIELDS = "CREATE INDEX ON {table} USING gin (fields jsonb_path_ops)"


def prepare(connection: Connection, config: Config, width: int, table: str) -> None:
    """Make pgvector, the schema and the table where they are missing. Raises UserError where that cannot be
    done or the table holds vectors of another width."""
    lock(connection)
    _require_pgvector(connection)
    place = sql.Identifier(config.schema, table)
    found = _one(
        connection,
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'vector'",
        place.as_string(connection),
    )
    if found is None:
        _make_table(connection, config.schema, place, width)
    elif found != width:
        raise UserError(
            f"The table {config.schema}.{table} holds vectors {found} wide, and these are {width} wide. "
            "Write to another index folder, or to another schema: --set schema=NAME"
        )


def lock(connection: Connection) -> None:
    """Until the transaction ends: of two processes that open a new index at once, only one makes it."""
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


def _one(connection: Connection, query: str, *parameters: object) -> object:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
