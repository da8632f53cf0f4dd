"""Translations of queries, by engines that may be slow, missing or broken: no search fails or waits for them
longer than it wants to.

Each engine works in a thread of its own, which opens it when it is first needed and keeps it. What is
translated stays for the next query with the same text, also what came too late for its own.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from cachetools import LRUCache

from dragoman import forks
from dragoman.errors import UserError, reason
from dragoman.messages import Message
from dragoman.search.calibration import Channel
from dragoman.translation.engine import Outcome, one_line, open_engine
from dragoman.translation.texts import Isolator

log = logging.getLogger(__name__)

KEPT = 4096
"""Translations that are kept."""
TIMEOUT = 30.0
"""Seconds that an engine may take for a batch of queries, whether or not they still wait for it."""
WAITING = 256
"""Texts that wait for one engine at most. Others are too late from the beginning."""
RETRY = 60.0
"""Seconds for which an engine that cannot be used is not tried again."""


@dataclass(frozen=True)
class Asked:
    """An engine, and the languages between which it translates."""

    spec: str
    name: str
    lang: str
    source: str

    @classmethod
    def through(cls, channel: Channel) -> Asked:
        """Name the engine of a channel."""
        return cls(channel.engine, channel.engine_name, channel.lang, channel.source)


class Translator:
    """Translates queries. Safe to use from several threads, and after a fork."""

    def __init__(self) -> None:
        self.renew_in_child()
        forks.watch(self)

    def before_fork(self) -> None:
        """Do nothing."""

    def renew_in_child(self) -> None:
        """Begin anew: threads, and what waits for them, stayed with the parent."""
        self._lock = threading.Lock()
        self._workers: dict[Asked, _Worker] = {}
        self._kept: LRUCache[tuple[Asked, str], Future[Outcome]] = LRUCache(KEPT)

    def begin(self, texts: Sequence[str], asked: Asked) -> list[Future[Outcome]]:
        """Let texts be translated; the future of each ends with a translation, or with the reason why there
        is none. It may raise UserError where the engine cannot be used."""
        found = []
        with self._lock:
            worker = self._workers.get(asked)
            if worker is None:
                worker = self._workers[asked] = _Worker(asked)
            for text in texts:
                future = self._kept.get((asked, text))
                # What failed is tried again, and the worker knows whether that makes sense.
                if future is None or (future.done() and future.exception() is not None):
                    future = self._kept[asked, text] = worker.begin(one_line(text))
                found.append(future)
        return found

    def close(self) -> None:
        """Let the threads end."""
        with self._lock:
            for worker in self._workers.values():
                worker.end()
            self._workers.clear()


def result_of(future: Future[Outcome], asked: Asked) -> str | Message:
    """Give the translation that a future ended with, or a warning why there is none now."""
    error = future.exception() if future.done() else TimeoutError()
    if isinstance(error, TimeoutError):
        return Message("translation_late", language=asked.lang)
    if isinstance(error, UserError):
        said = str(error)
        return Message("engine_missing", language=asked.lang, engine=asked.name, reason=said)
    outcome = None if error is not None else future.result()
    if isinstance(outcome, str) and outcome:
        return outcome
    return Message("translation_failed", language=asked.lang, engine=asked.name)


def wait_for(futures: Sequence[Future[Outcome]], seconds: float) -> None:
    """Wait until futures have ended, or so long."""
    if futures and seconds > 0:
        wait(futures, timeout=seconds)


class _Worker:
    """An engine and its thread."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._queue: queue.SimpleQueue[tuple[str, Future[Outcome]] | None] = queue.SimpleQueue()
        self._isolator: Isolator | None = None
        self._broken: tuple[float, Exception] | None = None
        thread = threading.Thread(target=self._run, name="dragoman-translations", daemon=True)
        thread.start()

    def begin(self, line: str) -> Future[Outcome]:
        """Let a line be translated."""
        future: Future[Outcome] = Future()
        if self._broken is not None and time.monotonic() - self._broken[0] < RETRY:
            future.set_exception(self._broken[1])
        elif self._queue.qsize() >= WAITING:
            # Where it cannot keep up, what waits longest would be too late anyway.
            future.set_exception(TimeoutError(f"{WAITING} texts are waiting"))
        else:
            self._queue.put((line, future))
        return future

    def end(self) -> None:
        """Let the thread end after what waits now."""
        self._queue.put(None)

    def _run(self) -> None:
        while batch := self._batch():
            try:
                outcomes = self._translated([line for line, _ in batch])
            except BaseException as error:
                # Whatever an engine's library raises, a panic of compiled code too: the thread goes on.
                told = error if isinstance(error, Exception) else RuntimeError(repr(error))
                for _, future in batch:
                    future.set_exception(told)
                continue
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                future.set_result(outcome)

    def _batch(self) -> list[tuple[str, Future[Outcome]]]:
        """Take what waits, as much as the engine reads at once; nothing at the end."""
        size = self._isolator.engine.batch_size if self._isolator else 1
        batch: list[tuple[str, Future[Outcome]]] = []
        while len(batch) < size and not (batch and self._queue.empty()):
            one = self._queue.get()
            if one is None:
                # Again for the next look, which finds nothing before it.
                if batch:
                    self._queue.put(None)
                break
            batch.append(one)
        return batch

    def _translated(self, lines: list[str]) -> list[Outcome]:
        try:
            if self._isolator is None:
                asked = self._asked
                engine = open_engine(asked.spec, asked.lang, asked.source)
                self._isolator = Isolator(engine, TIMEOUT, lambda: None)
            self._broken = None
            return self._isolator.translate(lines)
        except UserError as error:
            # Opened anew at the next try: it may have been installed meanwhile.
            self._isolator, self._broken = None, (time.monotonic(), error)
            name, lang = self._asked.name, self._asked.lang
            log.warning("%s cannot translate queries in %s: %s", name, lang, reason(error))
            raise
