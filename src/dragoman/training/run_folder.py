"""The folder of a run: its checkpoint, from which it goes on, and what it says of itself once finished.

A checkpoint holds everything that a run needs to go on as if it had never stopped, in one file. It is written
atomically and read with `weights_only`: tensors and plain values, nothing else is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragoman.errors import DamagedError, UserError, out_of_memory
from dragoman.folders import SEAL, atomic_path, read_sealed, require_whole_archive, sha256
from dragoman.models.identity import CALIBRATION, RUN
from dragoman.models.text import load as load_text_kind
from dragoman.settings import restore
from dragoman.training.config import TrainConfig, objective_config

CONFIG = "config.json"
"""Identity of a run, written before its first step: configuration, and hashes of what it learns from."""


def read_identity(run: Path) -> dict[str, Any]:
    """Configuration and input hashes of a finished run. Raises UserError for any other folder."""
    RUN.read(run)
    return read_sealed(run / CONFIG, RUN.mend(run))


def read_config(run: Path) -> TrainConfig:
    """The configuration of a finished run. Raises UserError where another version wrote other settings."""
    plain = read_identity(run)["config"]
    try:
        return _restored(plain)
    except TypeError as error:
        raise UserError(
            f"{run} was trained by another version of dragoman, whose settings differ ({error}). "
            "Train it again, or extend it with that version."
        ) from None


def model_hash(run: Path) -> str:
    """Content hash of the run's model: weights, vocabulary and configuration, not its calibration."""
    folder = run / "model"
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != CALIBRATION)
    files = sorted(found)
    listed = [f"{path.relative_to(folder).as_posix()} {sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def _restored(plain: Mapping[str, Any]) -> TrainConfig:
    text = dict(plain["text"])
    kind = load_text_kind(text.pop("type")).Config
    loss = type(objective_config(plain["objective"]))
    parts = {"text": restore(kind, text), "loss": restore(loss, plain["loss"])}
    return restore(TrainConfig, {**plain, **parts})


# What zipfile, PyTorch and our own reading raise of a file that is not as it was written.
_DAMAGED = (
    RuntimeError,
    zipfile.BadZipFile,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
)


@dataclass(kw_only=True)
class Progress:
    """The state that a run has reached, but for weights."""

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
    """Return the state of this process's generators: the CPU's and the device's."""
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
    """Store progress, the state dicts of `states`, the random state of every process, and whose they are."""
    # Through memory: where the disk is full, torch.save hides the OSError behind one of its own.
    content = io.BytesIO()
    stored = {"progress": asdict(progress), "random": list(random), "states": states, "run": _run_of(path)}
    torch.save(stored, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _run_of(checkpoint: Path) -> str | None:
    """The checksum of the identity of the run that a checkpoint lies in; None where it lies elsewhere."""
    file = checkpoint.parent.parent / CONFIG
    return json.loads(file.read_text("utf-8")).get(SEAL) if file.is_file() else None


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> tuple[Progress, list[dict[str, Tensor]]]:
    """Restore the `parts` by their names; return the progress, and the random state of every process.

    Raises UserError for a damaged file, one of another run, or one that does not fit the parts.
    """
    try:
        # PyTorch compares no checksum.
        require_whole_archive(path)
        # Tensors and plain values only: a checkpoint from elsewhere must not run code.
        stored = torch.load(path, map_location="cpu", weights_only=True)
        # Before anything is taken from it: a part that does not fit must not leave the others changed.
        # A sound one of another run may fit: it would go on with weights that it never learnt.
        if stored.get("run") not in (None, _run_of(path)):
            raise ValueError("it is of another run")
        progress, random = Progress(**stored["progress"]), list(stored["random"])
        for name, part in parts.items():
            part.load_state_dict(stored["states"][name])
        return progress, random
    except (*_DAMAGED, OSError) as error:
        if out_of_memory(error):
            raise
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise DamagedError(
            f"{path} is damaged ({reason}). Remove the run's folder and train again."
        ) from None
