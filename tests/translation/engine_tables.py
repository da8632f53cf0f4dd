"""The tables of docs/translation.md, made from what the engines say of themselves."""

from __future__ import annotations

import dataclasses

from dragoman import plugins, settings
from dragoman.translation.engine import ENGINES, describe_engine


def engines() -> list[str]:
    """Make one row for each engine: its spec, what it is, what it needs."""
    lines = ["| spec | what it is | needs |", "|---|---|---|"]
    for about in map(describe_engine, plugins.names(ENGINES)):
        spec = about.spec.replace("|", "\\|")
        lines.append(f"| `{spec}` | {about.what} | {about.needs} |")
    return lines


def options() -> list[str]:
    """Make one row for each option of an engine: its name with the default, and the string below it."""
    lines = ["| engine | option and default | meaning |", "|---|---|---|"]
    for name in plugins.names(ENGINES):
        kind = plugins.load(ENGINES, name, "translation engine").Config
        said = settings.docs(kind)
        for field in dataclasses.fields(kind):
            lines.append(f"| `{name}` | `{field.name}={field.default}` | {said.get(field.name, '')} |")
    return lines
