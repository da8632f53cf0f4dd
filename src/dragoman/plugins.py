"""Extension by file: the name of a file in a package is the name a user gives."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from dragoman.errors import UserError


def names(package: str) -> list[str]:
    """Names of the modules of `package`, sorted; those with a leading underscore are private."""
    folder = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(folder) if module.name[0] != "_")


def load(package: str, name: str, what: str) -> ModuleType:
    """Import module `name` of `package`, or raise a UserError that lists the known ones.

    `what` is the noun for the message: "objective", "translation engine".
    """
    known = names(package)
    if name not in known:
        raise UserError(
            f"No {what} {name!r}. Known: {', '.join(known)}. "
            f"To add one, create {package.replace('.', '/')}/{name}.py"
        )
    return importlib.import_module(f"{package}.{name}")
