"""Errors that a user can act on, and the exit statuses they carry."""

from __future__ import annotations

from enum import IntEnum


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


class UserError(ValueError):
    """Something that the user gave does not fit: the message says what happened, what was expected, the fix.

    The command line prints it on one line and exits with `exit_code`; nothing that existed is changed.
    """

    exit_code: int = Exit.USAGE


class DamagedError(UserError):
    """A file that dragoman wrote is not as it was written; the message says what mends it."""

    exit_code = Exit.FAILURE


class CheckFailedError(UserError):
    """A result that does not pass its own check, so that nothing of it was kept."""

    exit_code = Exit.CHECK_FAILED


class MissingExtraError(UserError):
    """An optional dependency is not installed; the message holds the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it: pip install 'dragoman[{extra}]'"
        )
