"""Preconditions (RFC 9110, section 13): what is asked only where something has, or has not, changed."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from starlette.datastructures import Headers

from dragoman.service.problems import Problem


def is_unchanged(headers: Headers, tag: str, changed: float | None = None) -> bool:
    """Tell if the copy that a client has still holds, so that 304 answers it.

    `tag` is the entity tag of what there is, in quotes, and `changed` the time of its last change in seconds
    since 1970, where that is known. Raises Problem 412 where the client wants nothing but an earlier state.
    """
    match, since = headers.get("if-match"), _seconds(headers.get("if-unmodified-since"))
    if match is not None:
        lost = not _names(match, tag)
    else:
        lost = changed is not None and since is not None and int(changed) > since
    if lost:
        raise Problem(412, "It has changed since.")
    if (none := headers.get("if-none-match")) is not None:
        return _names(none.replace("W/", ""), tag)
    since = _seconds(headers.get("if-modified-since"))
    return changed is not None and since is not None and int(changed) <= since


def require_state(headers: Headers, exists: bool) -> None:
    """Raise Problem 412 where a change is wanted only if there is no such item, or only if there is one.

    Items have no entity tags, so that no tag is the present one.
    """
    if headers.get("if-none-match", "").strip() == "*" and exists:
        raise Problem(412, "Not changed: there is such an item already.")
    if (match := headers.get("if-match")) is not None and not (match.strip() == "*" and exists):
        raise Problem(412, "Not changed: there is no such item in the state that was asked for.")


def _names(listed: str, tag: str) -> bool:
    return listed.strip() == "*" or tag in [one.strip() for one in listed.split(",")]


def _seconds(date: str | None) -> float | None:
    """Read a date of HTTP. What is none counts as not there."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
