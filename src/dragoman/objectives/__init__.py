"""Objectives, found by their names; `contract` says what one declares and is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dragoman import plugins

if TYPE_CHECKING:
    from dragoman.objectives.contract import Objective, ObjectiveConfig, ObjectiveModule

SHARED = ("contract", "losses")
"""Modules of this package that are not objectives."""


def load_objective(name: str) -> ObjectiveModule:
    """Import `objectives/<name>.py`. Raises UserError that lists the known names for any other."""
    return cast("ObjectiveModule", plugins.load(__name__, name, "objective"))


def build_objective(name: str, config: ObjectiveConfig, width: int, joint: int) -> Objective:
    """Make the objective in file `name`; those that read raw vectors are told J, `joint`, as well."""
    build: Any = load_objective(name).build
    made: Objective = build(config, width, joint) if "raw" in config.needs else build(config, width)
    return made
