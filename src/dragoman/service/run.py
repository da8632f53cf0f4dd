"""Running the service: collections from the command line, the socket, and a stop that finishes its work."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import ipaddress
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from dragoman.errors import UserError
from dragoman.service.config import ServiceSettings
from dragoman.service.connections import BACKLOG, Server, protocol
from dragoman.settings import make, pairs

MAX_HEADERS = 32_768
"""Bytes of a request's head."""

SWITCH_SECONDS = 0.0005
"""After which a thread that waits for the interpreter asks for it; 5 ms is Python's own."""
COLLECTION_SECONDS = 0.01
"""Time of a garbage collection, for which every thread waits: tens of thousands of objects."""
_begun = 0.0
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Numbers of glibc's mallopt (malloc.h)."""


def settle() -> None:
    """Make this process ready to serve: no thread keeps the event loop waiting for long, nor memory.

    Call it once the models are loaded. It changes the whole process: the garbage collector no longer looks
    through what exists now (150 ms with a model), nor again through what took it long; threads take turns
    more often; and of glibc large blocks go back to the system when they are freed, where the heaps of forty
    threads would keep them.
    """
    gc.collect()
    gc.freeze()
    gc.callbacks.append(_spare)
    sys.setswitchinterval(SWITCH_SECONDS)
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 << 20)
        libc.mallopt(_M_ARENA_MAX, 4)


def _spare(phase: str, info: dict[str, int]) -> None:
    """Set apart what is there after a long collection: what is loaded late, as a vision tower, is there to
    stay, and each collection would look through all of it."""
    global _begun
    if phase == "start":
        _begun = time.perf_counter()
    elif info["generation"] == 2 and time.perf_counter() - _begun > COLLECTION_SECONDS:
        gc.freeze()


def collections_of(given: Sequence[str]) -> dict[str, str]:
    """Index folders by the name of their collection: `name=folder`, or the folder's own name."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        if not equals or "/" in name:
            name, folder = Path(one).resolve().name, one
        if not name.isprintable() or not 1 <= len(name) <= 100:
            raise UserError(f"{one!r} gives no name for a collection. Name it: name=folder")
        if name in found:
            raise UserError(
                f"Two collections are called {name!r}: {found[name]} and {folder}. Name one: other={folder}"
            )
        found[name] = folder
    return found


def config_of(given: Sequence[str]) -> ServiceSettings:
    """Return the limits, some of them given as `name=value`.

    Raises UserError for a limit that does not exist, and for a value that is no number.
    """
    return make(ServiceSettings, dict(pairs(given, "--set", "LIMIT=VALUE", "max_body_mb=50")), "The service")


def is_loopback(host: str) -> bool:
    """True where only this computer can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that others can connect to from now on. Raises UserError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"({error.strerror})"
        raise UserError(f"Cannot listen on {host}, port {port}: {why}. Choose another: --port 8001") from None


def address(bound: socket.socket) -> str:
    """The address to type into a browser on this computer."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def server(app: FastAPI, config: ServiceSettings, root_path: str) -> uvicorn.Server:
    """The server, which on SIGTERM or SIGINT takes no more requests and finishes those it has."""
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            root_path=root_path,
            h11_max_incomplete_event_size=MAX_HEADERS,
            timeout_graceful_shutdown=max(1, round(config.drain_seconds)),
            # Forwarded headers would let any client name another address or scheme.
            proxy_headers=False,
            http=protocol(config),
            backlog=BACKLOG,
            ws="none",
            lifespan="on",
        )
    )
