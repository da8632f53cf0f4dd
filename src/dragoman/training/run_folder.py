"""What a finished run says about itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from dragoman.errors import UserError
from dragoman.folders import Format, sha256
from dragoman.models.identity import CALIBRATION
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig, objective_config

RUN = Format("dragoman-run", 1, "dragoman train CORPUS --out {folder}")
CONFIG = "config.json"
"""Identity of a run, written before its first step: configuration, and hashes of what it learns from."""
T = TypeVar("T")


def read_identity(run: Path) -> dict[str, Any]:
    """Configuration and input hashes of a finished run. Raises UserError for any other folder."""
    RUN.read(run)
    found: dict[str, Any] = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    return found


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
    kind = {"small": SmallTextConfig, "huggingface": HuggingFaceTextConfig}[text.pop("type")]
    loss = type(objective_config(plain["objective"]))
    parts = {"text": _typed(kind, text), "loss": _typed(loss, plain["loss"])}
    return _typed(TrainConfig, {**plain, **parts})


def _typed(kind: type[T], plain: Mapping[str, Any]) -> T:
    """The dataclass of plain values from JSON, which knows neither tuples nor dataclasses."""
    hints = typing.get_type_hints(kind)
    values = dict(plain)
    for name, value in plain.items():
        options = (hints.get(name), *typing.get_args(hints.get(name)))
        inner = next((option for option in options if dataclasses.is_dataclass(option)), None)
        if isinstance(value, dict) and isinstance(inner, type):
            values[name] = _typed(inner, value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return kind(**values)
