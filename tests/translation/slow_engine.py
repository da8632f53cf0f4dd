"""An engine that translates word for word, and only when it is let; it counts what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from dragoman.translation.engine import Engine, EngineError, Rejected

SPEC = "slow:/srv/secret/words"
NAME = "slow:words"


class SlowEngine(Engine):
    """Waits for `free` before each batch. A line with the word `fails` fails."""

    name = NAME
    version = "1"

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words
        self.free = threading.Event()
        self.begun = threading.Event()
        self.asked: list[str] = []
        self.opened = 0
        self.missing: Exception | None = None

    def open(self, spec: str, source: str, target: str, *, device: str | None = None) -> SlowEngine:
        """Stand in for `open_engine`."""
        assert (spec, target) == (SPEC, "en")
        self.opened += 1
        if self.missing is not None:
            raise self.missing
        return self

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        self.asked += lines
        self.begun.set()
        assert self.free.wait(20), "nobody let the engine go"
        if any("fails" in line for line in lines):
            raise EngineError("it was told to fail")
        return [" ".join(self.words.get(word, word) for word in line.split()) for line in lines]
