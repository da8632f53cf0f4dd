"""The text of a query: what is searched for, what is added, and what is left out.

`beach +sunset -people` is the text "beach", with "sunset" added and "people" subtracted. A sign counts at the
start or after a space, before a letter or a phrase in quotes: `-3`, `1-2` and `well-known` are text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from dragoman.errors import UserError

MAX_CHARACTERS = 1000
"""Longest query; the rest is cut. Text encoders read less than that."""
MAX_PARTS = 20
"""Most parts that are added and subtracted; more is text."""

ADDED, SUBTRACTED = "+＋", "−－-"
"""With the forms that East Asian and mathematical input methods give."""
_PART = re.compile(
    rf"(?:(?<=\s)|^)(?P<sign>[{ADDED}{SUBTRACTED}])"
    r"""(?:"(?P<straight>[^"]*[^"\s][^"]*)"|“(?P<curly>[^“”]*[^“”\s][^“”]*)”|(?P<word>[^\W\d_]\S*))(?=\s|$)"""
)


@dataclass(frozen=True, kw_only=True)
class QueryText:
    """A text in its parts; each is encoded by itself."""

    plain: str
    """Text that is left when the parts with signs are taken out; may be empty."""
    added: tuple[str, ...] = ()
    subtracted: tuple[str, ...] = ()
    cut: bool = False
    """True where the text was longer than `MAX_CHARACTERS`."""

    @property
    def wanted(self) -> str:
        """Everything that is searched for, as one text."""
        return " ".join(part for part in (self.plain, *self.added) if part)


def parse_text(text: str) -> QueryText:
    """The parts of a query's text, in NFC, with single spaces. All are empty for a blank text.

    Raises UserError for control characters and lone surrogates, which no person types.
    """
    # Cut first: the normal form of a megabyte takes long.
    cut = len(text) > MAX_CHARACTERS
    clean = unicodedata.normalize("NFC", _checked(text[:MAX_CHARACTERS]))
    signed: dict[bool, list[str]] = {True: [], False: []}

    def take(found: re.Match[str]) -> str:
        part = next(part for part in found.group("straight", "curly", "word") if part is not None)
        if len(signed[True]) + len(signed[False]) == MAX_PARTS:
            return found[0]
        signed[found["sign"] in ADDED].append(_spaced(part))
        return " "

    plain = _spaced(_PART.sub(take, _spaced(clean)))
    return QueryText(plain=plain, added=tuple(signed[True]), subtracted=tuple(signed[False]), cut=cut)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _checked(text: str) -> str:
    for position, character in enumerate(text, 1):
        if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace():
            raise UserError(
                f"The query holds the control character U+{ord(character):04X} at position {position}. "
                "Remove it: a query is plain text."
            )
    return text
