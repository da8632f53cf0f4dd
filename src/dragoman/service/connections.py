"""Connections: how many, how long a head may take or an answer that nobody reads, what is told at the end.

uvicorn bounds none of the first three, and ends a connection that answers after SIGTERM without a word.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from dragoman.service.config import ServiceSettings
from dragoman.service.problems import MEDIA_TYPE, REQUEST_ID, problem_response

BACKLOG = 128
"""Connections that the system holds for the service, which takes as many at once."""
READ = 4096
LAST_SECONDS = 1.0
"""After SIGTERM, for clients that are about to ask on a connection that is open."""


def most_connections(config: ServiceSettings) -> int:
    """Connections that the service holds: files, databases and those not yet counted need numbers as well."""
    try:
        import resource
    except ImportError:  # Windows
        return config.max_connections
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(config.max_connections, max(files - 2 * BACKLOG, files // 2))


def protocol(config: ServiceSettings) -> type[H11Protocol]:
    """The protocol of one server, whose connections know of each other."""
    fields = {
        "seconds": config.head_seconds,
        "stalled": config.stalled_seconds,
        "most": most_connections(config),
        "waiting": {},
    }
    return type("Connection", (Connection,), fields)


class Connection(H11Protocol):
    """A connection that waits no longer than it may, and makes room when there are too many."""

    seconds: ClassVar[float]
    stalled: ClassVar[float]
    most: ClassVar[int]
    waiting: ClassVar[dict[Connection, None]]
    """Those that no request came from, or none since their last answer; the longest waiting first."""
    _clock: asyncio.TimerHandle | None = None
    _look: asyncio.TimerHandle | None = None
    """At whether the client reads on, while it is behind."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so only where a socket states its protocol, which one that was accepted does not. Else
        # the body of an answer waits 40 ms behind its head for the client's system to confirm that.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(transport, "max_size"):
            # asyncio reads 256 KiB at a time. In chunks of one byte each that keeps h11 busy for a second,
            # in which no one else is answered.
            transport.max_size = READ
        self._wait()
        self._start_clock()
        if len(self.connections) > self.most:
            # Who sends its request at once waits for a moment only; who never does is among the first here.
            longest = next(iter(self.waiting))
            # It is lost only a moment later, when more may have come, which each must end another.
            longest._stop_waiting()
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_asking():
            self._stop_waiting()
        elif self._clock is None:
            # The begin of the next head on this connection, or the rest of a body that was refused.
            self._start_clock()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_asking() and not self.transport.is_closing():
            self._wait()
            if self.conn.trailing_data[0]:
                self._start_clock()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_at_reader(None)

    def resume_writing(self) -> None:
        self._stop_looking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_looking()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what never reaches the application by a problem, as everything else, and close."""
        body = bytes(problem_response({REQUEST_ID: uuid.uuid4().hex}, 400, msg).body)
        headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=STATUS_PHRASES[400]),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def announce_end(self) -> None:
        """Let the answer to the request that is worked on say that it is the last one here."""
        if self.cycle is not None:
            self.cycle.default_headers = [*self.cycle.default_headers, CLOSE_HEADER]

    def _is_asking(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self.waiting[self] = None

    def _start_clock(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self.seconds, self._late)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _look_at_reader(self, before: int | None) -> None:
        # Nothing is added while writing is paused.
        left = self.transport.get_write_buffer_size()
        if left == before:
            # Its answer is in memory, and holds the place of a request.
            self.transport.abort()
        else:
            self._look = self.loop.call_later(self.stalled, self._look_at_reader, left)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _late(self) -> None:
        # Without an answer, as by other servers: what it would answer to is no request yet.
        self.transport.close()


class Server(uvicorn.Server):
    """The server, which on SIGTERM or SIGINT takes no more connections and finishes the requests it has."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for one in (*self.servers, *(sockets or ())):
            one.close()
        # A client that has sent a request on a connection when it is closed does not know if that was worked
        # on. So none is closed that has not been told; who asks nothing for a second is not about to ask.
        state = self.server_state
        state.default_headers = [*state.default_headers, CLOSE_HEADER]
        for connection in list(state.connections):
            if isinstance(connection, Connection):
                connection.announce_end()
        until = asyncio.get_running_loop().time() + LAST_SECONDS
        while state.connections and not self.force_exit and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
