"""A collection of Qdrant: for a cluster, with copies and parts on many computers.

Needs a server, and `pip install 'dragoman[qdrant]'`.

The address comes from `url` or from DRAGOMAN_QDRANT_URL, the key from the environment only. Without a
server, `:memory:` keeps everything in this process and `:folder:` in the index folder, for one process at a
time: both are for trials with some thousand entries.

Qdrant has no transactions; `docs/index_servers.md` says how far `add`, `update` and `delete` are all or
nothing.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.errors import MissingExtraError, UserError
from dragoman.stores.contract import Store
from dragoman.stores.qdrant.config import ADDRESS, LOCAL, Config
from dragoman.stores.servers import table_name

if TYPE_CHECKING:
    from dragoman.stores.qdrant.client import Client

__all__ = ["Config", "drop_store", "open_store"]


def open_store(folder: Path, config: Config, width: int, name: str, make: bool = True) -> Store:
    """The collection of generation `name`, made where it is missing; `folder` is used for `:folder:` only.

    Raises UserError where the server is out of reach, refuses the key or holds vectors of another width.
    """
    client = _connected(folder, config)
    from dragoman.stores.qdrant.store import QdrantStore

    try:
        return QdrantStore(client, config, width, table_name(name), make)
    except BaseException:
        client.close()
        raise


def drop_store(folder: Path, config: Config, name: str) -> None:
    """Remove the collection of generation `name` from the server, where it is there."""
    with closing(_connected(folder, config)) as client, client.calling() as server:
        server.delete_collection(table_name(name))


def _connected(folder: Path, config: Config) -> Client:
    try:
        from dragoman.stores.qdrant.client import Client
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "qdrant-client", "qdrant", "The store 'qdrant'") from None
    url = config.url or os.environ.get(ADDRESS, "")
    if not url.startswith(("http://", "https://")) and url not in LOCAL:
        raise UserError(
            "The store 'qdrant' needs the address of a server that begins with http:// or https://. "
            f"Set it: export {ADDRESS}=https://host:6333"
        )
    return Client(url, os.environ.get(config.api_key_env), config, folder / "qdrant")
