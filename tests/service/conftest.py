from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chromium import Page, browser, tab
from PIL import Image
from shelf import make_shelf, open_shelf
from starlette.testclient import TestClient

from dragoman.index.folder import read_info, write_info
from dragoman.service.access import Access
from dragoman.service.app import create_app
from dragoman.service.config import ServiceSettings
from dragoman.speech.recogniser import Recogniser


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that no test changes."""
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def small_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("small"), items=12)


@pytest.fixture(scope="module")
def debugger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser."""
    with browser(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
def page(debugger: str) -> Iterator[Page]:
    """An empty page of it."""
    with tab(debugger) as opened:
        # The language that another test chose is not this one's.
        opened.send("Network.clearBrowserCookies")
        opened.look(1200, 820)
        yield opened


@pytest.fixture
def own_shelf(small_shelf: Path, tmp_path: Path) -> Path:
    """An index for a test that changes it, with its photos beside it."""
    shutil.copytree(small_shelf.parent, tmp_path, dirs_exist_ok=True)
    index = tmp_path / small_shelf.name
    info = read_info(small_shelf)
    write_info(replace(info, folder=index, media=str(tmp_path / Path(info.media or "").name)))
    return index


@pytest.fixture
def red() -> bytes:
    """A small picture to upload."""
    content = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def service(shelf: Path) -> Iterator[Callable[..., TestClient]]:
    """A client of an application over the shelf; keywords are limits, or fields of `Access`."""
    with ExitStack() as opened:

        def start(
            index: Path = shelf,
            limits: dict[str, Any] | None = None,
            recogniser: Recogniser | None = None,
            **more: Any,
        ) -> TestClient:
            searcher, config = opened.enter_context(open_shelf(index)), ServiceSettings(**(limits or {}))
            app = create_app({"shelf": searcher}, config, Access(**more), recogniser=recogniser)
            client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
            return opened.enter_context(client)

        yield start


@pytest.fixture(scope="session")
def client(shelf: Path) -> Iterator[TestClient]:
    """Of an application with all defaults, that every test shares."""
    with open_shelf(shelf) as searcher:
        app = create_app({"shelf": searcher}, ServiceSettings())
        with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
            yield client
