"""Everything a run needs to go on as if it had never stopped, in one file.

Written atomically, read with `weights_only`: tensors and plain values, nothing else is unpickled.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dragoman.errors import UserError
from dragoman.folders import atomic_path


@dataclass(kw_only=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    """Steps done."""
    best: float = float("-inf")
    best_step: int = 0
    stale: int = 0
    """Validations since the best."""
    since_halving: int = 0
    rate: float = 1.0
    """Factor of the learning rate from the `nrccr` schedule."""
    stopped: bool = False
    """Early stopping has decided."""


def save_checkpoint(path: Path, progress: Progress, states: dict[str, Any]) -> None:
    """Store progress, the state dicts of `states`, and the random state of every device."""
    random = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}
    # Through memory: where the disk is full, torch.save hides the OSError behind one of its own.
    content = io.BytesIO()
    torch.save({"progress": asdict(progress), "random": random, "states": states}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> Progress:
    """Restore the random state and the `parts` by their names; return the progress.

    Raises UserError for a damaged file, or one that does not fit the parts.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(stored["states"][name])
        torch.set_rng_state(stored["random"]["cpu"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(stored["random"]["cuda"])
        return Progress(**stored["progress"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise UserError(f"{path} is damaged ({reason}). Remove the run's folder and train again.") from None
