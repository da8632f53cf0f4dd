"""Compression of texts on their way out: pages, scripts, JSON and tables, where the client takes gzip."""

from __future__ import annotations

import gzip
from functools import lru_cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.service.negotiation import accepts

TEXTS = ("application/json", "application/problem+json", "image/svg+xml", "text/")
LEAST = 600
"""Bytes below which compression saves no packet."""
LEVEL = 5


class Compressed:
    """Compresses answers that are texts and come whole. Pictures and ranges of files go as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "HEAD":
            await self.app(scope, receive, send)
            return
        takes = accepts(Headers(scope=scope).get("accept-encoding", ""), "gzip")
        begun: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                if _is_text(message):
                    begun = message
                else:
                    await send(message)
                return
            if begun is not None:
                start, begun = begun, None
                start, message = _packed(start, message, takes)
                await send(start)
            await send(message)

        await self.app(scope, receive, send_compressed)


def _is_text(start: Message) -> bool:
    headers = MutableHeaders(raw=list(start.get("headers", ())))
    kind = headers.get("content-type", "")
    return kind.startswith(TEXTS) and "content-encoding" not in headers and start["status"] != 206


def _packed(start: Message, body: Message, takes: bool) -> tuple[Message, Message]:
    headers = MutableHeaders(raw=list(start.get("headers", ())))
    headers.add_vary_header("Accept-Encoding")
    content = body.get("body", b"")
    if takes and len(content) >= LEAST and not body.get("more_body", False):
        # What has a tag is sent again and again.
        content = (_kept if "etag" in headers else _gzip)(content)
        headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(content))
        body = {**body, "body": content}
    return {**start, "headers": headers.raw}, body


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, LEVEL, mtime=0)


_kept = lru_cache(maxsize=64)(_gzip)
