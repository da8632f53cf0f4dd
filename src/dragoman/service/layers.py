"""Layers around all routes: request ids, headers, the Host check, unexpected errors, keys, and limits."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from h11 import LocalProtocolError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from dragoman.errors import UserError
from dragoman.messages import Message
from dragoman.service.access import READS, SAFE, Access
from dragoman.service.config import ServiceSettings
from dragoman.service.problems import MEDIA_TYPE, REQUEST_ID, Problem, problem_response

ALWAYS = ("/healthz", "/readyz", "/metrics")
"""Answered even when the service is full: its monitors must see that."""
RETRY_SECONDS = 1


class Limits:
    """Counts requests until their answer begins, stops their clock then, and weighs bodies as they come in.

    An answer that has begun may go to a slow client; it holds no slot.
    """

    def __init__(self, app: ASGIApp, *, config: ServiceSettings) -> None:
        self.app = app
        self.config = config
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        if self.active >= self.config.max_requests:
            full = problem_response(
                scope,
                503,
                Message("too_many"),
                headers={"retry-after": str(RETRY_SECONDS)},
            )
            await full(scope, receive, send)
            return
        if (refusal := self._oversized(scope)) is not None:
            await problem_response(scope, 413, refusal)(scope, receive, send)
            return
        await self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock = asyncio.timeout(self.config.request_seconds)
        waiting = True
        self.active += 1

        def answered() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                # A slow reader of a long answer holds no worker, so neither slot nor clock is for it.
                self.active -= 1
                clock.reschedule(None)

        async def send_and_stop(message: Event) -> None:
            if message["type"] == "http.response.start":
                answered()
            await send(message)

        try:
            async with clock:
                await self.app(scope, self._weighing(receive), send_and_stop)
        except TimeoutError:
            # Too late for another status: the head of an answer has gone out.
            if not waiting:
                raise
            late = Message("too_late", seconds=self.config.request_seconds)
            await problem_response(scope, 504, late)(scope, receive, send)
        finally:
            if waiting:
                self.active -= 1

    def _weighing(self, receive: Receive) -> Receive:
        room = int(self.config.max_body_mb * 1e6)

        async def weighed() -> Event:
            nonlocal room
            message = await receive()
            # Counted as it comes: a chunked body states no size, and a stated one need not be true.
            room -= len(message.get("body", b""))
            if room < 0:
                raise Problem(413, self._too_large())
            return message

        return weighed

    def _oversized(self, scope: Scope) -> Message | None:
        """The refusal of a request that states too large a size, before any of it is read."""
        said = Headers(scope=scope).get("content-length", "")
        return self._too_large() if said.isdecimal() and int(said) > self.config.max_body_mb * 1e6 else None

    def _too_large(self) -> Message:
        return Message("body_too_large", megabytes=self.config.max_body_mb)


log = logging.getLogger(__name__)

_WHOLE = re.compile(rb"https?://(?P<host>[^/@]+)(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)
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
    """Gives each request an id and each response its headers.

    An unexpected error becomes a plain 500, and an error that some library answers by itself, such as a range
    that is none, a problem like all others.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str] | None, cross_origin: bool, microphone: bool = False
    ) -> None:
        """`hosts`: names that a Host header may have, None for any. `microphone`: the page may use it."""
        self.app = app
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self.security = dict(SECURITY)
        if cross_origin:
            self.security["cross-origin-resource-policy"] = "cross-origin"
        if microphone:
            # Pages of others that show ours in a frame get none.
            policy = self.security["permissions-policy"]
            self.security["permissions-policy"] = policy.replace("microphone=()", "microphone=(self)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = _in_origin_form(scope)
        headers = Headers(scope=scope)
        scope[REQUEST_ID] = _request_id(headers)
        begun, replaced = False, False

        async def send_with_headers(message: Event) -> None:
            nonlocal begun, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                begun = True
                message, body = _as_problem(scope, message)
                replaced = body is not None
                # A response that is sent again and again keeps its headers to itself.
                message = {**message, "headers": list(message.get("headers", ()))}
                ours = MutableHeaders(raw=message["headers"])
                ours["x-request-id"] = scope[REQUEST_ID]
                for name, value in self.security.items():
                    ours.setdefault(name, value)
            await send(message)
            if replaced:
                await send({"type": "http.response.body", "body": body})

        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy before us may have counted otherwise: what follows on this connection is anybody's
            # (RFC 9112, section 6.1).
            refusal = problem_response(
                scope,
                400,
                "The request states its length in two ways.",
                headers={"connection": "close"},
            )
            await refusal(scope, receive, send_with_headers)
            return
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
                    Message("failed"),
                )
                await failure(scope, receive, send_with_headers)


def _as_problem(scope: Scope, message: Event) -> tuple[Event, bytes | None]:
    """The start of an answer, and the body it is to have where it was an error without problem details."""
    headers = MutableHeaders(raw=list(message.get("headers", ())))
    status = message["status"]
    if status < 400 or headers.get("content-type") == MEDIA_TYPE:
        return message, None
    problem = problem_response(scope, status, DETAILS.get(status, f"{HTTPStatus(status).phrase}."))
    for name, value in problem.headers.items():
        headers[name] = value
    return {**message, "headers": headers.raw}, bytes(problem.body)


DETAILS = {
    400: "The request is not understood.",
    416: "The range lies outside of the file, whose size Content-Range tells.",
}


def _in_origin_form(scope: Scope) -> Scope:
    """Read an address that is written whole, with scheme and host, as proxies send it: what it says of the
    host counts more than the header (RFC 9112, section 3.2.2)."""
    found = _WHOLE.fullmatch(scope.get("raw_path") or b"")
    if found is None:
        return scope
    path = found["path"] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    headers.append((b"host", found["host"]))
    return {**scope, "raw_path": path, "path": unquote(path.decode("ascii")), "headers": headers}


def _request_id(headers: Headers) -> str:
    """The caller's own id where it is harmless in a log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex


def _host(headers: Headers) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    return re.sub(r":\d+$", "", headers.get("host", "")).lower()


def _place(origin: str) -> str:
    """Host and port of an origin; empty where it has none, as `null`, or is none at all."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class Guard:
    """Lets a request through that needs no key or brings one: `Authorization: Bearer <key>`."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, detail = refusal
        headers = {"www-authenticate": 'Bearer realm="dragoman"'} if status == 401 else None
        await problem_response(scope, status, detail, headers=headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if self._foreign(scope["method"], Headers(scope=scope)):
            return 403, Message("origin_refused")
        if self.access.keys is None:
            if scope["method"] in READS or self.access.allow_writes:
                return None
            return (
                403,
                "This service takes no changes: it was started without keys and without --allow-writes.",
            )
        if not self.access.needs_key(scope["method"], scope["path"]):
            return None
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._known(key.strip()):
            return None
        return 401, Message("key_needed")

    def _foreign(self, method: str, headers: Headers) -> bool:
        """True where a page of another origin asks, which was not allowed."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if "*" in self.access.cors or (origin is not None and origin in self.access.cors):
            return False
        if method in SAFE:
            # A link may lead here from anywhere. Where some origin may ask, its pictures come without Origin.
            embedded = site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate"
            return embedded and not self.access.cors
        # A form needs no preflight, so that it is here that it must be refused, before anything is worked on.
        if site is not None:
            return site not in ("same-origin", "none")
        # Browsers leave Sec-Fetch-Site out where an address is neither https nor this computer.
        return origin is not None and _place(origin) != headers.get("host", "").lower()

    def _known(self, key: str) -> bool:
        assert self.access.keys is not None
        try:
            return self.access.keys.holds(key)
        except (UserError, OSError):
            # A key file that has been emptied or removed meanwhile opens nothing.
            return False
