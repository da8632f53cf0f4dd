"""Settings of a store: typed by its `Config`, complete, as plain values for the manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dragoman.index.folder import backend_module
from dragoman.settings import make


def complete_settings(backend: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Return all settings of a store, with defaults for those that are not given.

    Raises UserError for a store or a setting that does not exist, and for a value that does not fit.
    """
    return dataclasses.asdict(make(backend_module(backend).Config, given, f"The store {backend}"))
