"""The complete configuration of a run: one frozen, typed value that checks itself."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar

from dragoman import plugins
from dragoman.encoders.dual import DualConfig
from dragoman.encoders.hf_text import HuggingFaceTextConfig
from dragoman.encoders.small import SmallTextConfig
from dragoman.errors import UserError

OBJECTIVES = "dragoman.objectives"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a recipe returns. Every field can be changed by `--set name=value`, nested ones with dots."""

    recipe: str
    source: str
    """Language of the human captions."""
    targets: tuple[str, ...]
    """Languages learned from machine captions; none trains on the source alone."""
    features: str
    """Name of the feature set of the corpus."""
    objective: str
    """File of `objectives/`."""
    loss: Any
    """That file's `Config`."""
    text: SmallTextConfig | HuggingFaceTextConfig = field(default_factory=SmallTextConfig)
    dual: DualConfig = field(default_factory=DualConfig)
    engine: str | None = None
    """Whose translations to learn from, where several engines wrote some."""
    target_captions: Literal["mt", "human"] = "mt"
    """`human` is the oracle: human target captions of the training items, one drawn per source caption."""
    incomplete: Literal["error", "drop"] = "error"
    """Source captions without a translation: stop, or leave them out."""
    epochs: int = 10
    steps: int | None = None
    """Length of the run in steps, instead of `epochs`; for comparisons at an equal number of steps."""
    batch_size: int = 128
    """Source captions of a step; each comes with its translation and, where needed, back-translation."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    """Of matrices; biases, norms and temperatures have none."""
    schedule: Literal["cosine", "nrccr"] = "cosine"
    """`cosine` to zero after a linear warm-up; `nrccr`: 0.99 per epoch, halved when validation stalls."""
    warmup: float = 0.05
    """Share of all steps."""
    clip: float = 2.0
    """Largest gradient norm; 0 does not clip."""
    word_dropout: float = 0.0
    """Share of the space-separated words of every training text left out, anew in each step."""
    opponent_learning_rate: float = 1e-3
    """Of the language discriminator, with plain Adam."""
    validation: Literal["mt", "human"] = "mt"
    """Captions whose SumR on the val split chooses the model: machine ones need no human target caption."""
    validate_every: float = 1.0
    """Epochs between validations."""
    patience: int = 10
    """Stop after so many validations without a new best."""
    checkpoint_every: int = 200
    """Steps between checkpoints; one is also written after every validation and on Ctrl-C."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bfloat16 on a GPU that has it and float32 elsewhere."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "patience", "checkpoint_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "validate_every", "opponent_learning_rate"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("word_dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.source in self.targets or len(set(self.targets)) < len(self.targets):
            raise UserError(f"Targets {self.targets} must differ from each other and from {self.source!r}")

    def with_settings(self, settings: Mapping[str, str]) -> TrainConfig:
        """A copy with fields replaced: `{"loss.sim_weight": "0.2"}`. The type of a field parses its value."""
        config = self
        for name, value in settings.items():
            config = _replaced(config, name.split("."), value, name)
        return config

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        plain["text"]["type"] = "small" if isinstance(self.text, SmallTextConfig) else "huggingface"
        return plain


def objective_config(objective: str, **settings: Any) -> Any:
    """The `Config` of the objective in file `objective`."""
    return plugins.load(OBJECTIVES, objective, "objective").Config(**settings)


def _replaced(config: T, path: list[str], value: str, full: str) -> T:
    known = {field.name: field for field in fields(config)}  # type: ignore[arg-type]
    name, *rest = path
    if name not in known:
        raise UserError(f"No setting {full!r}. Known here: {', '.join(sorted(known))}")
    current = getattr(config, name)
    if rest:
        if not is_dataclass(current):
            raise UserError(f"Setting {full!r}: {name} has no parts")
        new: object = _replaced(current, rest, value, full)
    elif name == "text" and value.startswith("hf:"):
        new = HuggingFaceTextConfig(path=value.removeprefix("hf:"))
    else:
        new = _parse(value, typing.get_type_hints(type(config))[name], full)
    return dataclasses.replace(config, **{name: new})  # type: ignore[type-var]


def _parse(value: str, kind: Any, name: str) -> object:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in options:
            raise UserError(f"{name} must be one of {', '.join(map(str, options))}, got {value!r}")
        return value
    if origin in (typing.Union, types.UnionType) and type(None) in options:
        if value.lower() in ("none", ""):
            return None
        return _parse(value, next(option for option in options if option is not type(None)), name)
    if origin is tuple:
        return tuple(part for part in value.split(",") if part)
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise UserError(f"{name} must be true or false, got {value!r}")
        return value.lower() == "true"
    if kind not in (int, float, str):
        raise UserError(f"{name} holds several settings: set one of its parts, {name}.PART=VALUE")
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"{name} must be {kind.__name__}, got {value!r}") from None
