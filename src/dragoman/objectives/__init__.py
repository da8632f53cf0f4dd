"""Objectives, found by their names; `contract` says what one declares and is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dragoman import plugins

if TYPE_CHECKING:
    from dragoman.objectives.contract import ObjectiveModule

SHARED = ("contract", "losses")
"""Modules of this package that are not objectives."""


def load_objective(name: str) -> ObjectiveModule:
    """Import `objectives/<name>.py`. Raises UserError that lists the known names for any other."""
    return cast("ObjectiveModule", plugins.load(__name__, name, "objective"))
