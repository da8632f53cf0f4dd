"""Work off the event loop: threads, and slots that stay taken for as long as work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
# A thread cannot be stopped: work whose caller has gone ends for itself. So there are that many threads and
# no more, where a thread for each request would let callers who do not wait pile up work without end.
_THREADS = ThreadPoolExecutor(40, "dragoman-work")
# Each step of such work keeps all other threads from going on for a while, and the event loop would wait for
# as many steps as there are threads with one.
_IN_TURN = ThreadPoolExecutor(1, "dragoman-in-turn")


async def in_thread(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Return the result of `work`, done in a thread.

    A caller that is cancelled stops waiting for it; what has not begun by then is not done.
    """
    return await asyncio.wrap_future(_THREADS.submit(partial(work, *arguments, **named)))


async def in_turn(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Return the result of `work` that holds the interpreter's lock for long, after all such work before."""
    return await asyncio.wrap_future(_IN_TURN.submit(partial(work, *arguments, **named)))


class Slot:
    """A place for work that takes much memory, which is done one after the other."""

    def __init__(self) -> None:
        self._work: Future[Any] | None = None

    async def run(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return the result of `work`, done in a thread."""
        return await self.until(_THREADS.submit(partial(work, *arguments, **named)))

    async def until(self, work: Future[T]) -> T:
        """Return the result of work that others do."""
        self._work = work
        return await asyncio.wrap_future(work)

    def then(self, done: Callable[[], object]) -> None:
        """Call `done` on the event loop: now, or when the work has ended that nobody waits for."""
        work, loop = self._work, asyncio.get_running_loop()
        if work is None or work.done():
            done()
            return

        def ended(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the service has ended before
                loop.call_soon_threadsafe(done)

        work.add_done_callback(ended)


class Slots:
    """So many slots; who comes later waits."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Slot]:
        """A slot, free again when the block has ended and the work in it has: that is later where the caller
        has gone away."""
        await self._free.acquire()
        slot = Slot()
        try:
            yield slot
        finally:
            slot.then(self._free.release)
