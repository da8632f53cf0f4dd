"""Seeded runs, reports, hits and manifests are those of before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).parent / "make.py"


def test_every_stage_makes_what_it_made(tmp_path: Path) -> None:
    for extra in ("torch", "av", "faiss", "matplotlib"):
        pytest.importorskip(extra)
    # The export takes a quarter of the time; `make.py --check` compares it too, and bit for bit.
    command = [sys.executable, str(MAKE), "--check", "--loose", "--without", "exports"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path / "golden")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
