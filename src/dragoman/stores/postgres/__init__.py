"""A table of PostgreSQL: for those who run a database already.

Needs a server with pgvector 0.8 or newer, and `pip install 'dragoman[postgres]'`.

Search is exact unless `approximate` is set, which keeps a graph (HNSW) beside the table. The address comes
from `url` or from DRAGOMAN_POSTGRES_URL; passwords from the latter, PGPASSWORD or ~/.pgpass.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from dragoman.errors import MissingExtraError, UserError
from dragoman.stores.contract import Store
from dragoman.stores.postgres.config import ADDRESS, WIDEST_GRAPH, Config
from dragoman.stores.servers import table_name

__all__ = ["Config", "drop_store", "open_store"]


def open_store(folder: Path, config: Config, width: int, name: str, make: bool = True) -> Store:
    """The table of generation `name`, which is made where it is missing; `folder` stays empty.

    Raises UserError where the server is out of reach, lacks pgvector or holds vectors of another width.
    """
    if config.approximate and width > WIDEST_GRAPH:
        raise UserError(
            f"The vectors are {width} wide; approximate search in PostgreSQL takes at most {WIDEST_GRAPH}. "
            "Search exactly instead: --set approximate=false"
        )
    _require_packages()
    from dragoman.stores.postgres.pool import Pool
    from dragoman.stores.postgres.store import PostgresStore, prepare

    url, table = _address(config), table_name(name)
    # Its connection was opened before the type of vectors was there, perhaps.
    with closing(Pool(url, 1)) as making, making.transaction() as connection:
        prepare(connection, config, width, table, make)
    return PostgresStore(Pool(url, config.connections), config, width, table)


def drop_store(folder: Path, config: Config, name: str) -> None:
    """Remove the table of generation `name` from the server, where it is there."""
    _require_packages()
    from dragoman.stores.postgres.pool import Pool
    from dragoman.stores.postgres.store import drop

    with closing(Pool(_address(config), 1)) as pool, pool.transaction() as connection:
        drop(connection, config, table_name(name))


def _require_packages() -> None:
    try:
        import pgvector  # noqa: F401
        import psycopg  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "postgres", "The store 'postgres'") from None


def _address(config: Config) -> str:
    url = config.url or os.environ.get(ADDRESS, "")
    if not url:
        raise UserError(
            "The store 'postgres' needs the address of a server. "
            f"Set it: export {ADDRESS}=postgresql://user@host:5432/database"
        )
    return url
