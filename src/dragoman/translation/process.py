"""Run a program on bytes, and leave nothing of it behind when it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from dragoman.translation.engine import EngineError


def run(command: Sequence[str], data: bytes, timeout: float) -> bytes:
    """Standard output of `command` fed with `data`.

    The program runs in a process group of its own, which is killed as a whole after `timeout` seconds or on
    any exception (Ctrl-C among them). Raises EngineError for a hang or an exit status other than 0.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, complaint = process.communicate(data, timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise EngineError(f"{command[0]} did not finish within {timeout:.3g} s") from None
        except BaseException:
            _kill_group(process)
            raise
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        said = complaint.decode(errors="replace").strip().splitlines()
        raise EngineError(f"{command[0]} ended with {how}" + (f" ({said[-1][:200]})" if said else ""))
    return output


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
