"""PostgreSQL with pgvector: one table an index, for those who already run a database.

Search is exact unless `approximate` is set, which keeps a graph (HNSW) beside the table. The address comes
from `url` or from DRAGOMAN_POSTGRES_URL; passwords from the latter, PGPASSWORD or ~/.pgpass.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import MissingExtraError, UserError
from dragoman.stores.contract import Backend
from dragoman.stores.servers import require_no_password, table_name

ADDRESS = "DRAGOMAN_POSTGRES_URL"
WIDEST_GRAPH = 2000
"""Of the vectors that pgvector's HNSW takes."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the tables are, and how they are searched."""

    url: str = ""
    """`postgresql://user@host:5432/database`, without a password; DRAGOMAN_POSTGRES_URL where empty."""
    schema: str = "public"
    approximate: bool = False
    """Search an HNSW graph: faster over many entries, and it misses some of the best."""
    least: int = 20_000
    """Entries from which there is a graph; fewer are searched exactly."""
    m: int = 16
    """Of the graph: neighbours a node."""
    ef_construction: int = 64
    """Of the graph: candidates looked at while a node is put in; at least twice m."""
    ef_search: int = 100
    """Candidates looked at by a search; more find more and take longer."""
    build_memory: str = ""
    """Of the server while it builds the graph, such as 4GB: much faster where the vectors fit."""
    connections: int = 4
    """At most, of one process."""

    def __post_init__(self) -> None:
        require_no_password(self.url, f"give the whole address in {ADDRESS}, or the password in ~/.pgpass.")
        for name, low, high in (
            ("least", 1, 2**31),
            ("m", 2, 100),
            ("ef_construction", 2 * self.m, 1000),
            ("ef_search", 1, 1000),
            ("connections", 1, 1000),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} must lie in [{low}, {high}], got {getattr(self, name)}")


def open_backend(folder: Path, config: Config, width: int, name: str) -> Backend:
    """The table of generation `name`, made where it is missing; `folder` stays empty.

    Raises UserError where the server is out of reach, lacks pgvector or holds vectors of another width.
    """
    if config.approximate and width > WIDEST_GRAPH:
        raise UserError(
            f"The vectors are {width} wide; approximate search in PostgreSQL takes at most {WIDEST_GRAPH}. "
            "Search exactly instead: --set approximate=false"
        )
    _require_packages()
    from dragoman.stores.postgres.pool import Pool
    from dragoman.stores.postgres.schema import prepare
    from dragoman.stores.postgres.table import Table

    url, table = _address(config), table_name(name)
    # Its connection was opened before the type of vectors was there, perhaps.
    with closing(Pool(url, 1)) as making, making.transaction() as connection:
        prepare(connection, config, width, table)
    return Table(Pool(url, config.connections), config, width, table)


def drop_backend(folder: Path, config: Config, name: str) -> None:
    """Remove the table of generation `name` from the server, where it is there."""
    _require_packages()
    from dragoman.stores.postgres.pool import Pool
    from dragoman.stores.postgres.schema import drop

    with closing(Pool(_address(config), 1)) as pool, pool.transaction() as connection:
        drop(connection, config, table_name(name))


def _require_packages() -> None:
    try:
        import pgvector  # noqa: F401
        import psycopg  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "postgres", "The index backend 'postgres'") from None


def _address(config: Config) -> str:
    url = config.url or os.environ.get(ADDRESS, "")
    if not url:
        raise UserError(
            "The index backend 'postgres' needs the address of a server. "
            f"Set it: export {ADDRESS}=postgresql://user@host:5432/database"
        )
    return url
