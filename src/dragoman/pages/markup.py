"""Pieces of HTML that several parts of the page are made of; all text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dragoman.errors import UserError
from dragoman.pages.thumbnails import Thumbnails
from dragoman.translation.languages import language as known_language

LABELS = {
    "direct": "direct",
    "translate_test": "translated query",
    "fused": "both fused",
    "translate_test_source_only": "translated query, other model",
    "reranked": "re-ranked",
}
"""Rows that are not here are called by their name."""
WAYS = {"text_to_image": "Text to image", "image_to_text": "Image to text"}


def section(title: str, content: str) -> str:
    """A part of the page under its heading; `content` is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def label(row: str) -> str:
    """What readers call a row of the report."""
    return escape(LABELS.get(row, row.replace("_", " ")))


def language_name(tag: str) -> str:
    """The English name of a language, or its tag where none is known."""
    try:
        return known_language(tag).name
    except UserError:
        return tag


def cell(value: float, ends: Sequence[float], *, digits: int = 1) -> str:
    """A figure with the ends of its interval below."""
    low, high = (figure(end, digits=digits) for end in ends)
    return f"<td>{figure(value, digits=digits)}<small>{low} – {high}</small></td>"


def figure(value: float, *, digits: int = 1) -> str:
    """A number with so many decimals, none from a thousand on."""
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}"


def picture(item_id: str, right: bool, thumbnails: Thumbnails) -> str:
    """An item's thumbnail, or its name where there is none; `right` puts a frame around it."""
    source, mark = thumbnails.of(item_id), " class='right'" if right else ""
    name = escape(item_id, quote=True)
    if source is None:
        return f"<span{mark or ' class=empty'} title='{name}'><b>{name}</b></span>"
    return f"<span{mark} title='{name}'><img alt='{name}' src='{source}'></span>"
