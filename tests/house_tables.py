"""Tables of the house, made from the code: the tree with a line on each room, and the layers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from test_architecture import LAYERS, SOURCE

OF_BEFORE = {"encoders"}
"""Rooms that keep names of before and nothing else."""


def about(name: str) -> str:
    """Return the first sentence of a package or module."""
    file = SOURCE / name / "__init__.py" if (SOURCE / name).is_dir() else SOURCE / f"{name}.py"
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", text.replace("\n", " "))[0].rstrip(".")


def tree() -> Iterator[str]:
    """Yield a line on each room, from the ground up."""
    yield "```"
    yield "src/dragoman/"
    for layer in LAYERS:
        for name in sorted(layer - OF_BEFORE - {"__main__"}):
            shown = f"{name}/" if (SOURCE / name).is_dir() else f"{name}.py"
            yield f"  {shown:<14}{about(name)}"
    yield "```"


def layers() -> Iterator[str]:
    """Yield a line on each layer, the lowest first."""
    yield "| layer | rooms |"
    yield "|---|---|"
    for number, layer in enumerate(LAYERS):
        rooms = sorted(layer - OF_BEFORE)
        if rooms:
            yield f"| {number} | {', '.join(f'`{name}`' for name in rooms)} |"
