"""The command line in the process of the tests: PyTorch is imported once and not by every call."""

from __future__ import annotations

import logging
import signal
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import pytest

from dragoman.cli import main


class Done(NamedTuple):
    """What a call left: exit status and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def dragoman(*words: object, at: Path | None = None) -> Done:
    """Run `dragoman WORDS` in the folder `at` (the working folder), with `main` around it as in a process."""
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    root, ours = logging.getLogger(), logging.getLogger("dragoman")
    before = root.handlers[:], root.level, ours.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dragoman", *map(str, words)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        # `main` takes SIGTERM for its own process; that of the tests keeps its handler.
        patch.setattr(signal, "signal", lambda *_: None)
        # The call replaces the handlers of the root and closes them: those of pytest are kept aside.
        root.handlers[:] = []
        if at is not None:
            patch.chdir(at)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])
            ours.setLevel(before[2])
    status = ended.value.code
    assert isinstance(status, int)
    return Done(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))
