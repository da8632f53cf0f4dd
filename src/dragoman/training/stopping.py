"""A signal stops a run after the step in hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """What has been asked for."""

    number: int = 0
    """Of the signal that asks to stop; 0 while none does."""


@contextmanager
def stop_signal(*, alone: bool) -> Iterator[Stop]:
    """Notes the first SIGINT or SIGTERM, so that the step in hand can be finished and kept.

    The signal then takes its usual course: KeyboardInterrupt, or the end of the process. A second one does so
    at once, but not where several processes work together: there `torchrun` hands on what the terminal has
    already sent to all of them, and kills those that do not end in time.
    """
    stop = Stop()
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    else:
        before = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        stop.number = number
        if alone:
            restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()
    if stop.number:
        if before:
            signal.raise_signal(stop.number)
        raise KeyboardInterrupt  # where the signal was ignored before
