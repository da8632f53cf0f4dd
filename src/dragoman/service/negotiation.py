"""Headers by which a client says what it takes: media types, compression, languages.

RFC 9110, section 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dragoman.messages import nearest


def accepts(header: str, name: str) -> bool:
    """Tell if a header names something, and not by a weight of 0."""
    return any(found == name for found, _ in _weighted(header))


def language_of(header: str, otherwise: str) -> str:
    """Choose the language of the page for the header Accept-Language: the first there is a catalogue of."""
    for tag, _ in sorted(_weighted(header), key=lambda one: -one[1]):
        if tag == "*":
            break
        if (found := nearest(tag)) is not None:
            return found
    return otherwise


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yield what a header names, in its order, with weights above 0."""
    for one in header.lower().split(","):
        name, *parameters = [part.replace(" ", "") for part in one.split(";")]
        given = [
            found[1] for part in parameters if (found := re.fullmatch(r"q=([01](?:\.[0-9]{0,3})?)", part))
        ]
        weight = float(given[0]) if given else 1.0
        if name and weight > 0:
            yield name, weight
