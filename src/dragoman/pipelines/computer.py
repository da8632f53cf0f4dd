"""Commit and computer of a measurement, for the pages that benchmarks write.

Imports the standard library alone: it is imported by processes whose memory is measured.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def commit() -> str:
    """The commit of this checkout, with `-dirty` where files are changed; empty outside of one."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def computer() -> str:
    """The kind of processor and the number of its cores."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def commit_and_computer() -> str:
    """Commit, date, cores, threads of a process, Python and the load that was there at the end."""
    # A container may be given fewer cores than the computer has; not every system tells.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return (
        f"at commit {commit()}, {time.strftime('%Y-%m-%d')}, on {cores} cores ({processor()}, "
        f"threads: {os.environ.get('OMP_NUM_THREADS', 'all')}), Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f} at the end"
    )


def processor() -> str:
    """The name that the processor gives itself."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
