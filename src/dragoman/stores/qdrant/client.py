"""One client of Qdrant for all threads, with errors that a user can act on."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from dragoman.errors import UserError
from dragoman.stores.qdrant.config import Config

log = logging.getLogger(__name__)


class Client:
    """A client over REST, or of the library's own store in memory or in a folder."""

    def __init__(self, url: str, key: str | None, config: Config, folder: Path) -> None:
        self.local = not url.startswith("http")
        self.place = url if self.local else urlsplit(url)._replace(netloc=_host(url)).geturl()
        self._key_name = config.api_key_env
        # The library's own store is not made for several threads.
        self._lock = threading.RLock() if self.local else nullcontext()
        if not self.local:
            self._client = _remote(url, key, config.timeout)
        elif url == ":memory:":
            self._client = QdrantClient(location=url, force_disable_check_same_thread=True)
        else:
            self._client = _in_folder(folder)

    @contextmanager
    def calling(self) -> Iterator[QdrantClient]:
        """The client for one or more requests. Raises UserError where the server fails or refuses."""
        try:
            with self._lock:
                yield self._client
        except (ResponseHandlingException, httpx.HTTPError) as error:
            cause = error.source if isinstance(error, ResponseHandlingException) else error
            reason = str(cause) or type(cause).__name__
            raise UserError(
                f"Qdrant at {self.place} failed ({reason}). Check that it runs and that "
                "DRAGOMAN_QDRANT_URL is right, and try again; a change may or may not have been stored."
            ) from None
        except UnexpectedResponse as error:
            if error.status_code in (401, 403):
                raise UserError(
                    f"Qdrant at {self.place} refuses the key. Set one that may: export {self._key_name}=…"
                ) from None
            said = " ".join(error.content.decode(errors="replace").split())[:300]
            raise UserError(
                f"Qdrant at {self.place} answered with status {error.status_code}: {said}"
            ) from None

    def close(self) -> None:
        """Release connections and files; calling it twice is fine."""
        with self._lock:
            self._client.close()


def _remote(url: str, key: str | None, timeout: int) -> QdrantClient:
    parts = urlsplit(url)
    if key and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        log.warning("The key for %s travels unencrypted; use https.", _host(url))
    with warnings.catch_warnings():
        # The library warns of that as well, on the local machine too.
        warnings.simplefilter("ignore", UserWarning)
        return QdrantClient(
            url=url,
            api_key=key or None,
            timeout=timeout,
            prefer_grpc=False,
            check_compatibility=False,
        )


def _in_folder(folder: Path) -> QdrantClient:
    try:
        return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise UserError(
            f"{folder} is in use by another process. Wait for it to finish, or use a server: "
            "export DRAGOMAN_QDRANT_URL=http://localhost:6333"
        ) from None


def _host(url: str) -> str:
    """Host and port, without a user and a password."""
    return urlsplit(url).netloc.rpartition("@")[2]
