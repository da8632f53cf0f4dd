"""Errors that a user can act on, and the exit statuses they carry."""

from __future__ import annotations

import errno
import sys
from enum import IntEnum

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a system that takes no more: the disk, the user's share of it, the size of a file."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of a system where this user may not write."""


_NO_MEMORY = ("out of memory", "allocate", "bad_alloc", "can't start new thread", "failed to map segment")


class Exit(IntEnum):
    """Exit statuses of the command line."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    REJECTED = 3
    """Finished, but some inputs were rejected; a list of them was written."""
    CHECK_FAILED = 4
    INTERRUPTED = 130
    TERMINATED = 143


def reason(error: BaseException) -> str:
    """Return the first line of a library's message, or the name of the error where it says nothing."""
    # Further lines are traces and advice of the library, for its own authors.
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def out_of_memory(error: BaseException) -> bool:
    """Tell if an error says that the memory does not suffice, whichever library raised it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError) and any(words in said for words in _NO_MEMORY)
    )


class UserError(ValueError):
    """Something that the user gave does not fit: the message says what happened, what was expected, the fix.

    The command line prints it on one line and exits with `exit_code`; nothing that existed is changed.
    """

    exit_code: int = Exit.USAGE


class UnknownError(UserError):
    """The user named something that is not there."""


class DamagedError(UserError):
    """A file that dragoman wrote is not as it was written; the message says what mends it."""

    exit_code = Exit.FAILURE


class ReadOnlyError(UserError):
    """A folder that this user cannot write, or nobody can."""

    exit_code = Exit.FAILURE


class CheckFailedError(UserError):
    """A result that does not pass its own check, so that nothing of it was kept."""

    exit_code = Exit.CHECK_FAILED


class UnavailableError(UserError):
    """A server that is asked is out of reach, overloaded for too long, or refuses whatever it is asked."""

    exit_code = Exit.FAILURE


class MissingExtraError(UserError):
    """An optional dependency cannot be imported; the message holds the command that installs it.

    To be raised where the import failed: of a package that is there but cannot be loaded it tells the reason.
    `otherwise` is a sentence on what does without it.
    """

    def __init__(self, package: str, extra: str, purpose: str, otherwise: str = "") -> None:
        self.package, self.extra = package, extra
        why = sys.exc_info()[1]
        state, fix = "is not installed", [otherwise, f"Install it: pip install 'dragoman[{extra}]'"]
        if isinstance(why, ImportError) and not isinstance(why, ModuleNotFoundError):
            # Such as a library that does not fit into the memory, or not to this system.
            state, fix = f"cannot be loaded ({reason(why)})", [otherwise]
        said = f"{purpose} needs the package {package!r}, which {state}."
        super().__init__(" ".join(filter(None, [said, *fix])))
