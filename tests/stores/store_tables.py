"""The table of stores in docs/stores.md, made from what they say of themselves."""

from __future__ import annotations

import re

from dragoman import plugins
from dragoman.stores import STORES


def stores() -> list[str]:
    """Make one row for each store: its name, what it is, what it needs."""
    lines = ["| store | is | needs |", "|---|---|---|"]
    for name in plugins.names(STORES):
        said = " ".join((plugins.load(STORES, name, "store").__doc__ or "").split())
        found = re.match(r"(?P<is>.+?)\. Needs (?P<needs>.+?)\.(\s|$)", said)
        if found is None:
            raise AssertionError(
                f"Begin the docstring of src/dragoman/stores/{name} with 'What it is.\n\nNeeds what.'"
            )
        lines.append(f"| `{name}` | {found['is']} | {found['needs']} |")
    return lines
