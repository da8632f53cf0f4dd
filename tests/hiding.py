"""Python where some packages cannot be imported, as if they were not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HIDDEN = """
import sys
hidden = sys.argv.pop(1).split()
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
_DRAGOMAN = """
from dragoman.cli import main
sys.argv[0] = "dragoman"
main()
"""


def without(packages: str, *words: object, code: str = _DRAGOMAN) -> list[str]:
    """Words of a process in which these packages, with spaces between them, are not found: `dragoman WORDS`,
    or other code that has them as its arguments."""
    return [sys.executable, "-c", _HIDDEN + code, packages, *map(str, words)]


def ran(words: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a process to its end."""
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)
