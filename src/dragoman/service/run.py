"""Running the service: collections from the command line, the socket, and a stop that finishes its work."""

from __future__ import annotations

import errno
import ipaddress
import socket
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
