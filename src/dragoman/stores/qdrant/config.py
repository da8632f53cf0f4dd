"""Settings of the store `qdrant`."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.errors import UserError
from dragoman.stores.servers import require_no_password

ADDRESS = "DRAGOMAN_QDRANT_URL"
LOCAL = (":memory:", ":folder:")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Place of the collection, its spread, and the way it is searched."""

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
    """Neighbours of a node of the graph."""
    ef_construction: int = 100
    """Candidates looked at while a node is put into the graph."""
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
