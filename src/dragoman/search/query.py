"""Queries and answers: the input of a search, and its output.

A text may hold parts with signs: `beach +sunset -people` is the text "beach", with "sunset" added and
"people" subtracted. A sign counts at the start or after a space, before a letter or a phrase in quotes: `-3`,
`1-2` and `well-known` are text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dragoman.errors import UserError
from dragoman.messages import Message
from dragoman.records import Hit
from dragoman.texts import one_line, visible

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.media.video import VideoPart
    from dragoman.speech.hearing import Heard
    from dragoman.stores import Filter


MAX_CHARACTERS = 1000
"""Longest query; the rest is cut. Text encoders read less than that."""
MAX_PARTS = 20
"""Most parts that are added and subtracted; more is text."""

ADDED, SUBTRACTED = "+＋﹢", "−－﹣‐‑-"
"""With the forms that East Asian and mathematical input methods give, and hyphens of word processors."""
# As keyboards of telephones and word processors set them, by language.
_QUOTES = (
    '""',
    "“”",
    "„“",
    "„”",
    "””",
    "«»",
    "»«",
    "‹›",
    "＂＂",
    "〝〞",
    "「」",
    "『』",
    "''",
    "‘’",
    "‚‘",
    "’’",
)
_PHRASE = "|".join(f"{two[0]}([^{two}]*[^{two}\\s][^{two}]*){two[1]}" for two in _QUOTES)
_PART = re.compile(
    rf"(?:(?<=\s)|^)(?P<sign>[{ADDED}{SUBTRACTED}])(?:{_PHRASE}|(?P<word>[^\W\d_]\S*))(?=\s|$)"
)


Unjudged = Literal["not_calibrated", "not_text", "few_captions", "language_not_measured", "unknown_words"]
"""Reason why hits have no relevance: the index is not calibrated; the query is not a text alone; its language
was trained but has too few held-out captions to learn from, or was neither trained nor measured; or it has
words on which the model was neither taught nor measured."""


ChannelName = Literal["direct", "translated", "fused"]
"""Ways in which a text is asked: by itself, through its translation, or by both together."""


def channel_name(weight: float) -> ChannelName:
    """Name the channel in which translations have this weight."""
    if weight == 0:
        return "direct"
    return "translated" if weight == 1 else "fused"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A text, typed or spoken, an image, a video, an item of the index, or several of them together."""

    text: str = ""
    """Text in any language. It may hold `+word` and `-word`, which are added to and subtracted from the rest;
    a phrase in quotes."""
    speech: str | Path | bytes | None = None
    """The text as somebody says it: a sound file, or the content of one."""
    image: str | Path | Image | None = None
    """Search by this image, or add it to the text."""
    video: str | Path | VideoPart | None = None
    """Search by this video, or by a part of it from one second to another: `clip.mp4#t=3,8`."""
    item_id: str | None = None
    """More like this item, which is not among the hits itself."""
    lang: str | None = None
    """Language of the text, typed or spoken, as BCP 47 tag; detected where not given."""
    k: int = 10
    """Hits at most."""
    offset: int = 0
    """Hits that are passed over, of the best 10,000: those that an answer before has shown."""
    filter: Filter | str | None = None
    """Condition on metadata, or its text, as in `year>=2010`."""
    channel: Literal["best", "direct"] = "best"
    """`direct` asks with the text alone, also where its language is asked better through a translation."""
    translate_within: float = 1.0
    """Seconds that hits wait for the translation of a text, where its language is asked through one. What
    comes later serves the next query with this text; 0 takes what is known."""
    moments: bool = False
    """Every moment of a video that answers, not its best one alone."""
    min_score: float | None = None
    """Hits of a lower relevance are left out; of a lower cosine, where the index is not calibrated or the
    query is no text. Where a text has no relevance, none is left out."""


@dataclass(frozen=True, kw_only=True)
class QueryLanguage:
    """The language of a query's text."""

    code: str
    """BCP 47; `und` where it cannot be told."""
    confidence: float
    """0..1; 1 where the user gave it."""
    given: bool
    trained: bool
    """True where the model was trained on captions in it."""


@dataclass(frozen=True, kw_only=True)
class QueryChannel:
    """The channel through which a text was asked."""

    name: ChannelName
    best: ChannelName
    """The channel that was measured to be the best for its language. Where it is another, its translation was
    late, missing, or not wanted, and the same query may be answered better later."""
    weight: float = 0.0
    """Weight of the translation; the text has the rest."""
    engine: str | None = None
    """The engine of the best channel."""
    translation: str | None = None
    """The translation that was asked with."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one query."""

    hits: tuple[Hit, ...]
    """Best first; equal scores in the order of their ids."""
    language: QueryLanguage | None
    """None for a query without text."""
    heard: Heard | None = None
    """Words that were understood, where the text was spoken."""
    channel: QueryChannel | None = None
    """None for a query without text."""
    match: bool | None
    """True where something in the index is likely to answer the query; None where hits have no relevance."""
    unjudged: Unjudged | None = None
    """Reason why hits have no relevance; None where they have."""
    warnings: tuple[Message, ...] = ()
    """For a person: a language outside training, a text that was cut, …"""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of `encode` and `search`, of the batch that the query was in; of `translate` where it waited
    for that, and of `hear` where it was spoken."""


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
    def parts(self) -> tuple[str, ...]:
        """Everything that is encoded."""
        return (*([self.plain] if self.plain else []), *self.added, *self.subtracted)

    @property
    def wanted(self) -> str:
        """Everything that is searched for, as one text."""
        return " ".join(part for part in (self.plain, *self.added) if part)


def parse_text(text: str) -> QueryText:
    """Take the text of a query to its visible parts, with single spaces; all are empty for a blank text.

    Raises UserError for control characters and lone surrogates, which no person types.
    """
    # Cut first: the normal form of a megabyte takes long.
    cut = len(text) > MAX_CHARACTERS
    clean = visible(_checked(text[:MAX_CHARACTERS]))
    signed: dict[bool, list[str]] = {True: [], False: []}

    def take(found: re.Match[str]) -> str:
        part = next(part for part in found.groups()[1:] if part is not None)
        if len(signed[True]) + len(signed[False]) == MAX_PARTS:
            return found[0]
        signed[found["sign"] in ADDED].append(one_line(part))
        return " "

    plain = one_line(_PART.sub(take, one_line(clean)))
    return QueryText(plain=plain, added=tuple(signed[True]), subtracted=tuple(signed[False]), cut=cut)


def _checked(text: str) -> str:
    for position, character in enumerate(text, 1):
        if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace():
            code = f"U+{ord(character):04X}"
            raise UserError(Message("query_control", character=code, position=position))
    return text
