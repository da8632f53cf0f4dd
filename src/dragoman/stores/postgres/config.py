"""Settings of the store `postgres`."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.errors import UserError
from dragoman.stores.servers import require_no_password

ADDRESS = "DRAGOMAN_POSTGRES_URL"
WIDEST_GRAPH = 2000
"""Width of the widest vectors that pgvector's HNSW takes."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Place of the tables, and the way they are searched."""

    url: str = ""
    """`postgresql://user@host:5432/database`, without a password; DRAGOMAN_POSTGRES_URL where empty."""
    schema: str = "public"
    approximate: bool = False
    """Search an HNSW graph: faster over many entries, and it misses some of the best."""
    least: int = 20_000
    """Entries from which there is a graph; fewer are searched exactly."""
    m: int = 16
    """Neighbours of a node of the graph."""
    ef_construction: int = 64
    """Candidates looked at while a node is put into the graph; at least twice m."""
    ef_search: int = 100
    """Candidates looked at by a search; more find more and take longer."""
    build_memory: str = ""
    """Memory of the server while it builds the graph, such as 4GB: much faster where the vectors fit."""
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
