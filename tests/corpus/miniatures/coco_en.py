from __future__ import annotations

from pathlib import Path

from miniatures import Expected, karpathy


def write(root: Path) -> Expected:
    return Expected(karpathy(root))
