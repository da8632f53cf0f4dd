"""Requests that arrive together are worked on together."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class Batcher(Generic[Asked, Answered]):
    """One thread that calls `work` with what has gathered: the first to arrive waits for others at most
    `wait` seconds, and never for more than `size` of them.

    An error of `work` on several is found again on each alone, so that one bad question spoils no other.
    """

    def __init__(
        self,
        work: Callable[[list[Asked]], Sequence[Answered]],
        *,
        size: int,
        wait: float,
        worked: Callable[[int], None] = lambda count: None,
    ) -> None:
        """`worked` is told the size of every batch."""
        self._work = work
        self._size = size
        self._wait = wait
        self._worked = worked
        # Not bounded here: `max_requests` bounds who may wait, and tells all others to come back.
        self._queue: queue.SimpleQueue[tuple[list[Asked], Future[Answered]] | None] = queue.SimpleQueue()
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="dragoman-batches", daemon=True)
        self._thread.start()

    async def ask(self, asked: Asked) -> Answered:
        """The answer, once its batch is done. A caller that stops waiting leaves a batch not yet begun."""
        return await asyncio.wrap_future(self.submit(asked))

    def submit(self, asked: Asked) -> Future[Answered]:
        """The future of the answer; cancelled before its batch has begun, nothing is computed for it."""
        if self._closed:
            raise RuntimeError("asked after close")
        if self._process != os.getpid():
            # Forked since, as servers do that load an application first: threads stay with the parent, and
            # what waits in the copied queue is theirs to answer.
            self._queue = queue.SimpleQueue()
            self._start()
        future: Future[Answered] = Future()
        waiting = [asked]
        # Who went away leaves a place in the queue, but not the picture that was asked with.
        future.add_done_callback(lambda _: waiting.clear())
        self._queue.put((waiting, future))
        return future

    def close(self) -> None:
        """Finish what was asked, and stop the thread. Calling it twice is fine."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            first = self._queue.get()
            if first is None:
                return
            batch = [first]
            going = self._gather(batch)
            # Who went away while waiting has cancelled the future; nothing is computed for them.
            wanted = [(asked[0], future) for asked, future in batch if future.set_running_or_notify_cancel()]
            if wanted:
                self._worked(len(wanted))
                self._answer(wanted)

    def _gather(self, batch: list[tuple[list[Asked], Future[Answered]]]) -> bool:
        """Add what arrives in time; False where the end was called meanwhile."""
        until = time.monotonic() + self._wait
        while len(batch) < self._size:
            try:
                arrived = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return True
            if arrived is None:
                return False
            batch.append(arrived)
        return True

    def _answer(self, batch: Sequence[tuple[Asked, Future[Answered]]]) -> None:
        try:
            answers = self._work([asked for asked, _ in batch])
            assert len(answers) == len(batch), f"{len(answers)} answers to {len(batch)}"
        except BaseException as error:
            # Panics of compiled tokenizers are no `Exception`. Let through, one would end the thread, and
            # everybody who asks later would wait for ever.
            if len(batch) == 1:
                batch[0][1].set_exception(_raisable(error))
                return
            for one in batch:
                self._answer([one])
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)


def _raisable(error: BaseException) -> Exception:
    """An error that a coroutine can raise without ending the loop that it runs in."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told
