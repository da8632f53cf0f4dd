"""A Qdrant cluster: one collection an index, replicated and sharded over many machines.

The address comes from `url` or from DRAGOMAN_QDRANT_URL, the key from the environment only. Without a
server, `:memory:` keeps everything in this process and `:folder:` in the index folder, for one process at a
time: both are for trials with some thousand entries.

Qdrant has no transactions; `docs/index_servers.md` says how far `add`, `update` and `delete` are all or
nothing.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.errors import MissingExtraError, UserError
from dragoman.stores.contract import Backend
from dragoman.stores.servers import require_no_password, table_name

if TYPE_CHECKING:
    from dragoman.stores.qdrant.client import Client

ADDRESS = "DRAGOMAN_QDRANT_URL"
LOCAL = (":memory:", ":folder:")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the collection is, how it is spread, and how it is searched."""

    url: str = ""
    """`https://host:6333`, `:memory:` or `:folder:`; DRAGOMAN_QDRANT_URL where empty."""
    api_key_env: str = "QDRANT_API_KEY"
    """Name of the environment variable with the key; the key itself is written nowhere."""
    timeout: int = 60
    """Seconds for one request."""
    shards: int = 1
    """Parts of the collection, which may lie on different machines."""
    replicas: int = 1
    """Copies of each shard. With more than one, a majority must answer a read and confirm a write."""
    approximate: bool = False
    """Search an HNSW graph: faster over many entries, and it misses some of the best."""
    m: int = 16
    """Of the graph: neighbours a node."""
    ef_construction: int = 100
    """Of the graph: candidates looked at while a node is put in."""
    ef_search: int = 128
    """Candidates looked at by a search; more find more and take longer."""
    quantize: bool = False
    """Keep the vectors in memory as bytes, a quarter of the size, and the full ones on the disk."""

    def __post_init__(self) -> None:
        require_no_password(self.url, f"set it as a key: export {self.api_key_env}=…")
        for name in ("timeout", "shards", "replicas", "m", "ef_construction", "ef_search"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.quantize and not self.approximate:
            raise UserError("quantize is for approximate search only. Set both: --set approximate=true")


def open_backend(folder: Path, config: Config, width: int, name: str) -> Backend:
    """The collection of generation `name`, made where it is missing; `folder` is used for `:folder:` only.

    Raises UserError where the server is out of reach, refuses the key or holds vectors of another width.
    """
    client = _connected(folder, config)
    from dragoman.stores.qdrant.collection import Collection

    try:
        return Collection(client, config, width, table_name(name))
    except BaseException:
        client.close()
        raise


def drop_backend(folder: Path, config: Config, name: str) -> None:
    """Remove the collection of generation `name` from the server, where it is there."""
    with closing(_connected(folder, config)) as client, client.calling() as server:
        server.delete_collection(table_name(name))


def _connected(folder: Path, config: Config) -> Client:
    try:
        from dragoman.stores.qdrant.client import Client
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            error.name or "qdrant-client", "qdrant", "The index backend 'qdrant'"
        ) from None
    url = config.url or os.environ.get(ADDRESS, "")
    if not url.startswith(("http://", "https://")) and url not in LOCAL:
        raise UserError(
            "The index backend 'qdrant' needs the address of a server that begins with http:// or https://. "
            f"Set it: export {ADDRESS}=https://host:6333"
        )
    return Client(url, os.environ.get(config.api_key_env), config, folder / "qdrant")
