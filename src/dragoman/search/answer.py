"""Queries and answers: the input of a search, and its output."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.records import Hit

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.media.video import VideoPart
    from dragoman.stores import Filter


@dataclass(frozen=True, kw_only=True)
class Query:
    """A text, an image, a video, an item of the index, or several of them together."""

    text: str = ""
    """Text in any language. It may hold `+word` and `-word`, which are added to and subtracted from the rest;
    a phrase in quotes."""
    image: str | Path | Image | None = None
    """Search by this image, or add it to the text."""
    video: str | Path | VideoPart | None = None
    """Search by this video, or by a part of it from one second to another: `clip.mp4#t=3,8`."""
    item_id: str | None = None
    """More like this item, which is not among the hits itself."""
    lang: str | None = None
    """Language of the text, as BCP 47 tag; detected where not given."""
    k: int = 10
    """Hits at most."""
    filter: Filter | None = None
    """Condition on metadata, as in `year>=2010`."""
    moments: bool = False
    """Every moment of a video that answers, not its best one alone."""
    min_score: float | None = None
    """Hits of a lower relevance are left out; of a lower cosine, where the index is not calibrated."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """The language of a query's text."""

    code: str
    """BCP 47; `und` where it cannot be told."""
    confidence: float
    """0..1; 1 where the user gave it."""
    given: bool
    trained: bool
    """True where the model was trained on captions in it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one query."""

    hits: tuple[Hit, ...]
    """Best first; equal scores in the order of their ids."""
    language: Language | None
    """None for a query without text."""
    match: bool | None
    """True where something in the index is likely to answer the query; None where nothing was calibrated."""
    warnings: tuple[str, ...] = ()
    """For a person: a language outside training, a text that was cut, …"""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of `encode` and `search`, of the batch that the query was in."""
