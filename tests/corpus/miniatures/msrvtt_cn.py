from __future__ import annotations

from pathlib import Path

from miniatures import Expected
from miniatures.nrccr import nrccr_files


def write(root: Path) -> Expected:
    return nrccr_files(
        root / "TextData", "msrvttcn", "", {"train": "video1", "val": "video2", "test": "video3"}
    )
