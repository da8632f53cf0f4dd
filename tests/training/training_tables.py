"""The tables of docs/training.md and docs/training_settings.md, made from recipes and configurations."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import MISSING, fields
from typing import Any

from dragoman import plugins
from dragoman import settings as settings_of
from dragoman.models.dual import DualConfig
from dragoman.models.fusion import FusionConfig
from dragoman.models.slots import SlotConfig
from dragoman.models.temporal import VideoConfig
from dragoman.models.text.adapters import AdaptersTextConfig
from dragoman.models.text.glosses import GlossedTextConfig
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.objectives import load_objective
from dragoman.recipes import methods
from dragoman.training import TrainConfig
from dragoman.training.config import ExtensionConfig, TrustUse

GROUPS: dict[str, Any] = {
    "run": TrainConfig,
    "small": SmallTextConfig,
    "huggingface": HuggingFaceTextConfig,
    "adapters": AdaptersTextConfig,
    "glossed": GlossedTextConfig,
    "dual": DualConfig,
    "fusion": FusionConfig,
    "slots": SlotConfig,
    "video": VideoConfig,
    "trust": TrustUse,
    "extension": ExtensionConfig,
}


def recipes() -> list[str]:
    """Make one row for each recipe, by what its file tells of it."""
    lines = ["| recipe | what it is | paper |", "|---|---|---|"]
    for one in methods():
        paper = re.sub(r"arXiv (\d{4}\.\d{5})", r"[\1](https://arxiv.org/abs/\1)", one.paper)
        paper = re.sub(r"code (\S+/\S+)", r"[code](https://github.com/\1)", paper)
        lines.append(f"| `{one.name}` | {one.about} | {paper} |")
    return lines


def settings(group: str) -> list[str]:
    """Make the table of one of the `GROUPS`; where it extends another one, of its own settings."""
    config, others = GROUPS[group], set(GROUPS.values())
    return _table(config, others & set(config.__mro__[1:]))


def objectives() -> list[str]:
    """Make a heading and a table for each objective, so that a new one needs no line on the page."""
    lines: list[str] = []
    for name in plugins.names("dragoman.objectives"):
        lines += ["", f"### `{name}`", "", *_table(load_objective(name).Config)]
    return lines[1:]


def _table(config: Any, told: Collection[Any] = ()) -> list[str]:
    """Make rows of name, default and meaning, from a dataclass and the strings below its fields, but for
    those of dataclasses that are told elsewhere."""
    said = settings_of.docs(config)
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(config):
        if told and field.name not in config.__annotations__:
            continue
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if field.default is MISSING else f"`{value}`"
        lines.append(f"| `{field.name}` | {default} | {said.get(field.name, '')} |".replace("  ", " "))
    return lines
