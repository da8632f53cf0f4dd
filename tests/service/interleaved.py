"""Threads that take turns as a seed says, and a dictionary that says what they should leave and see."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from dragoman.search import live
from dragoman.search import searcher as searcher_module
from dragoman.search.searcher import Searcher
from dragoman.service import items
from dragoman.stores.embedded.store import EmbeddedStore


class Turns:
    """A scheduler: one of its threads runs at a time, until it comes to a point where another may."""

    def __init__(self, seed: int, at_point: Callable[[], None] = lambda: None) -> None:
        self.random = random.Random(seed)
        self.points = 0
        self.errors: list[BaseException] = []
        self._at_point = at_point
        self._go: dict[int, threading.Semaphore] = {}
        self._me = threading.local()
        self._done = threading.Event()

    def run(self, actors: Sequence[Callable[[], None]]) -> None:
        """Run all to their end; the first error of one is raised."""
        self._go = {number: threading.Semaphore(0) for number in range(len(actors))}
        threads = [
            threading.Thread(target=self._act, args=(number, actor), daemon=True)
            for number, actor in enumerate(actors)
        ]
        for thread in threads:
            thread.start()
        self._pass_on()
        assert self._done.wait(60), "the threads wait for one another"
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def point(self) -> None:
        """Let another thread run, or this one go on."""
        me = getattr(self._me, "number", None)
        if me is not None:
            self.points += 1
            self._at_point()
            self._pass_on()
            self._go[me].acquire()

    def _act(self, number: int, actor: Callable[[], None]) -> None:
        self._me.number = number
        self._go[number].acquire()
        try:
            actor()
        except BaseException as error:
            self.errors.append(error)
        del self._go[number]
        if self._go:
            self._pass_on()
        else:
            self._done.set()

    def _pass_on(self) -> None:
        self._go[self.random.choice(sorted(self._go))].release()


class Lock:
    """A lock whose waiting is a point."""

    def __init__(self, turns: Turns) -> None:
        self._lock, self._turns = threading.RLock(), turns

    def __enter__(self) -> None:
        while not self._lock.acquire(blocking=False):
            self._turns.point()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Truth:
    """What was committed, in its order."""

    def __init__(self, start: dict[str, bytes]) -> None:
        self.states = [dict(start)]
        self.change = threading.local()

    def commit(self) -> None:
        """Note the change that this thread makes, if it makes one."""
        found = getattr(self.change, "of", None)
        if found is not None:
            item_id, image = found
            state = dict(self.states[-1])
            self.change.was_there = state.pop(item_id, None) is not None
            self.states.append(state if image is None else state | {item_id: image})

    @contextmanager
    def changing(self, item_id: str, image: bytes | None) -> Iterator[None]:
        """Tell what this thread changes; None is a deletion."""
        self.change.of = (item_id, image)
        try:
            yield
        finally:
            self.change.of = None


def install(patch: pytest.MonkeyPatch, turns: Turns, truth: Truth, searcher: Searcher) -> None:
    """Put points before and after the steps of reading, writing and opening."""

    def pointed(owner: Any, name: str, *, commits: bool = False) -> None:
        real = getattr(owner, name)

        def step(*given: Any, **named: Any) -> Any:
            turns.point()
            found = real(*given, **named)
            if commits:
                truth.commit()
            turns.point()
            return found

        patch.setattr(owner, name, step)

    for name in ("get", "search", "scan", "vectors"):
        pointed(EmbeddedStore, name)
    for name in ("add", "update", "delete"):
        pointed(EmbeddedStore, name, commits=True)
    for name in ("note_change", "keep_upload", "forget_upload", "_forget_notes"):
        pointed(items, name)
    for name in ("read_info", "open_generation", "_stamp"):
        pointed(live, name)
    held = searcher_module.sole_writer

    @contextmanager
    def sole_writer(folder: Any) -> Iterator[None]:
        turns.point()
        with held(folder):
            turns.point()
            yield

    patch.setattr(searcher_module, "sole_writer", sole_writer)
    patch.setattr(searcher, "_writing", Lock(turns))
    patch.setattr(searcher._live, "_lock", Lock(turns))
