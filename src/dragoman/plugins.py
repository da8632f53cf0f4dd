"""Extension by file: the name of a file in a package is the name a user gives."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from dragoman.errors import UserError


def names(package: str) -> list[str]:
    """Names of the modules of `package` that a user can name, sorted.

    Left out are modules with a leading underscore, and those that the package lists in `SHARED`: its contract
    and what its implementations have in common.
    """
    home = importlib.import_module(package)
    shared = getattr(home, "SHARED", ())
    found = (module.name for module in pkgutil.iter_modules(home.__path__))
    return sorted(name for name in found if name[0] != "_" and name not in shared)


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
