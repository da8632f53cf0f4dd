"""Everything a run needs to go on as if it had never stopped, in one file.

Written atomically, read with `weights_only`: tensors and plain values, nothing else is unpickled.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Of this process: the CPU's generator and the device's."""
    found = {"cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go back to what `random_state` gave; a device that is new keeps its own."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def save_checkpoint(
    path: Path, progress: Progress, states: dict[str, Any], random: Sequence[Mapping[str, Tensor]]
) -> None:
    """Store progress, the state dicts of `states`, and the random state of every process."""
    # Through memory: where the disk is full, torch.save hides the OSError behind one of its own.
    content = io.BytesIO()
    torch.save({"progress": asdict(progress), "random": list(random), "states": states}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> tuple[Progress, list[dict[str, Tensor]]]:
    """Restore the `parts` by their names; return the progress, and the random state of every process.

    Raises UserError for a damaged file, or one that does not fit the parts.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(stored["states"][name])
        return Progress(**stored["progress"]), list(stored["random"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise UserError(f"{path} is damaged ({reason}). Remove the run's folder and train again.") from None
