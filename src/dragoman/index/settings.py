"""Settings of a backend: typed by its `Config`, complete, as plain values for the manifest."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from dragoman.errors import UserError
from dragoman.index.folder import backend_module


def complete_settings(backend: str, given: Mapping[str, object]) -> dict[str, Any]:
    """All settings of a backend, defaults for those that are not given; texts are read as their type asks.

    Raises UserError for a backend or a setting that does not exist, and for a value that does not fit.
    """
    config_class = backend_module(backend).Config
    hints = typing.get_type_hints(config_class)
    known = [field.name for field in dataclasses.fields(config_class)]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UserError(
                f"The store {backend} has no setting {name!r}. Known: {', '.join(known) or 'none'}."
            )
        values[name] = _parsed(value, hints[name], name) if isinstance(value, str) else value
    return dataclasses.asdict(config_class(**values))


def _parsed(text: str, kind: Any, name: str) -> object:
    kinds = typing.get_args(kind) or (kind,)
    if type(None) in kinds and text.lower() == "none":
        return None
    for one in (bool, int, float, str):
        if one not in kinds:
            continue
        if one is not bool:
            try:
                return one(text)
            except ValueError:
                continue
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    names = " or ".join(getattr(one, "__name__", str(one)) for one in kinds)
    raise UserError(f"{name} takes {names}, got {text!r}. Write for example: --set {name}=…")
