"""Steps of the interpreter, to tell how work grows: unlike seconds, they are the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def opcodes(call: Callable[[], object]) -> int:
    """Count the steps that a call takes in its own thread; those of libraries in C are not seen."""
    count = 0

    def step(frame: FrameType, event: str, arg: object) -> Callable[..., object]:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
