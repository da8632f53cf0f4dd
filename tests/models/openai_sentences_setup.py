"""A model of a server on this computer; the names are all that there is of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import embeddings, post_server


def ready(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setenv("no_proxy", "127.0.0.1,localhost")
    patch.delenv("OPENAI_API_KEY", raising=False)
    with post_server(embeddings) as (url, _):
        patch.setenv("OPENAI_BASE_URL", url)
        yield


def save(folder: Path) -> Path:
    return Path("openai:tiny")


def change(folder: Path) -> None:
    # The same server at another address; nobody could know that.
    os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_BASE_URL"].replace("127.0.0.1", "localhost")
