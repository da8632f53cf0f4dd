"""Limits on the size of a request, on its time, and on how many there may be at once."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.service.config import ServiceConfig
from dragoman.service.problems import Problem, problem_response

ALWAYS = ("/healthz", "/readyz", "/metrics")
"""Answered even when the service is full: its monitors must see that."""
RETRY_SECONDS = 1


class Limits:
    """Counts requests until their answer begins, stops their clock then, and weighs bodies as they come in.

    An answer that has begun may go to a slow client; it holds no slot.
    """

    def __init__(self, app: ASGIApp, *, config: ServiceConfig) -> None:
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
                "Too many requests at once; try again.",
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
                self.active -= 1
                clock.reschedule(None)

        async def send_and_stop(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered()
            await send(message)

        try:
            async with clock:
                await self.app(scope, self._weighing(receive), send_and_stop)
        except TimeoutError:
            if not waiting:
                raise
            late = f"No answer within {self.config.request_seconds:g} seconds."
            await problem_response(scope, 504, late)(scope, receive, send)
        finally:
            if waiting:
                self.active -= 1

    def _weighing(self, receive: Receive) -> Receive:
        room = int(self.config.max_body_mb * 1e6)

        async def weighed() -> Message:
            nonlocal room
            message = await receive()
            room -= len(message.get("body", b""))
            if room < 0:
                raise Problem(413, self._too_large())
            return message

        return weighed

    def _oversized(self, scope: Scope) -> str | None:
        """The refusal of a request that states too large a size, before any of it is read."""
        said = Headers(scope=scope).get("content-length", "")
        return self._too_large() if said.isdecimal() and int(said) > self.config.max_body_mb * 1e6 else None

    def _too_large(self) -> str:
        return f"The request's body is larger than {self.config.max_body_mb:g} MB."
