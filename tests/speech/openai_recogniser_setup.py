"""Set-up of `openai` for the contract of recognisers: a server on this computer that hears one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import post_server
from talking_server import hears


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    patch.setenv("no_proxy", "127.0.0.1,localhost")
    patch.delenv("OPENAI_API_KEY", raising=False)
    with post_server(hears("a dog on the beach", "english")) as (url, _):
        yield url
