"""Set-up of `openai` for the contract of engines: a server on this machine that writes capitals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import capitals, chat_server


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    patch.setenv("no_proxy", "127.0.0.1")
    with chat_server(capitals) as (url, _):
        patch.setenv("OPENAI_BASE_URL", url)
        yield "openai:tiny"
