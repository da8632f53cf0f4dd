"""The service over a real socket: `dragoman serve` as a process, or the application in a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from shelf import open_shelf

from dragoman.service import run
from dragoman.service.access import Access
from dragoman.service.app import NOBODY, create_app
from dragoman.service.config import ServiceSettings
from dragoman.service.house import House
from dragoman.speech.recogniser import Recogniser

STAND_IN = Path(__file__).parent / "serve_shelf.py"


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and its address once it is ready."""
    process = subprocess.Popen(
        [sys.executable, str(STAND_IN), "serve", *arguments, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, process.stderr.read() if process.stderr else ""
        # The socket is open already: this waits in its queue until the service has started.
        assert httpx2.get(f"{url}readyz", timeout=60).json() == {"status": "ready"}
        yield process, url
    finally:
        process.kill()
        process.communicate()


@contextmanager
def threaded(**indexes: Path) -> Iterator[Callable[..., tuple[str, Callable[[], None]]]]:
    """Starts applications over these indexes in this process, which is quicker; each with limits, a house and
    fields of `Access`, as its address and a function that stops it."""
    with ExitStack() as opened:

        def start(
            limits: dict[str, Any] | None = None,
            house: House = NOBODY,
            recogniser: Recogniser | None = None,
            **options: Any,
        ) -> tuple[str, Callable[[], None]]:
            config = ServiceSettings(**(limits or {}))
            searchers = {name: opened.enter_context(open_shelf(index)) for name, index in indexes.items()}
            app = create_app(searchers, config, Access(**options), house, recogniser)
            bound = opened.enter_context(run.listen("127.0.0.1", 0))
            server = run.server(app, config, "")
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
            thread.start()

            def stop() -> None:
                server.should_exit = server.force_exit = True
                thread.join()

            opened.callback(stop)
            return run.address(bound), stop

        yield start
