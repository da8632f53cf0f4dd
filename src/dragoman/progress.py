"""One way to show progress: a bar with rate and time left on stderr, silent where stderr is no terminal."""

from __future__ import annotations

import os
from typing import Any


def is_first_process() -> bool:
    """Tell the process that shows progress and results: the first of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def bar(total: int | None, label: str, unit: str) -> Any:
    """A tqdm bar, used as a context manager; call `.update(n)` and `.set_postfix_str(...)`.

    `DRAGOMAN_PROGRESS=0|1` forces it off or on; TQDM_DISABLE is honoured by tqdm itself.
    """
    from tqdm import tqdm

    forced = os.environ.get("DRAGOMAN_PROGRESS")
    return tqdm(
        total=total,
        desc=label,
        unit=f" {unit}",
        disable=True if not is_first_process() else None if forced is None else forced == "0",
        dynamic_ncols=True,
        smoothing=0.1,
    )
