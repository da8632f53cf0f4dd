"""The outermost layer: request ids, security headers, the Host check, and unexpected errors."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Collection

from h11 import LocalProtocolError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.service.problems import REQUEST_ID, problem_response

log = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The page loads nothing from another host and has no inline script; an original that was uploaded is
# shown in a sandbox, so that a script in it cannot act for the page's origin.
SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Edge:
    """Gives each request an id and each response its headers; an unexpected error becomes a plain 500."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] | None, cross_origin: bool) -> None:
        """`hosts`: names that a Host header may have, None for any."""
        self.app = app
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self.security = dict(SECURITY)
        if cross_origin:
            self.security["cross-origin-resource-policy"] = "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope[REQUEST_ID] = _request_id(headers)
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                # A response that is sent again and again keeps its headers to itself.
                message = {**message, "headers": list(message.get("headers", ()))}
                ours = MutableHeaders(raw=message["headers"])
                ours["x-request-id"] = scope[REQUEST_ID]
                for name, value in self.security.items():
                    ours.setdefault(name, value)
            await send(message)

        if self.hosts is not None and _host(headers) not in self.hosts:
            refusal = problem_response(
                scope,
                421,
                "This service does not answer to that Host; its owner allows one by --allowed-host.",
            )
            await refusal(scope, receive, send_with_headers)
            return
        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.debug("request %s: the client went away", scope[REQUEST_ID])
        except LocalProtocolError:
            # The server has refused the rest of the request by a 400 of its own, and closes.
            log.debug("request %s: its body was no HTTP", scope[REQUEST_ID])
        except Exception:
            log.exception("request %s failed", scope[REQUEST_ID])
            if not begun:
                failure = problem_response(
                    scope,
                    500,
                    "The service failed on this request; its log has the reason under the request's id.",
                )
                await failure(scope, receive, send_with_headers)


def _request_id(headers: Headers) -> str:
    """The caller's own id where it is harmless in a log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex


def _host(headers: Headers) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    return re.sub(r":\d+$", "", headers.get("host", "")).lower()
