"""Answers on a terminal, and for other programs."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dragoman.index.entries import END, START, seconds_of, video_of
from dragoman.languages import language_name
from dragoman.media.video import VideoPart
from dragoman.records import Entry, Hit, Value
from dragoman.search.detection import UNKNOWN
from dragoman.search.query import Answer, Query, Unjudged

if TYPE_CHECKING:
    from dragoman.search.searcher import Searcher
    from dragoman.speech.hearing import Heard


_UNJUDGED: Mapping[Unjudged | None, str] = {
    "few_captions": "there were too few captions in this language to calibrate on",
    "language_not_measured": "this language was neither trained, nor calibrated on",
    "unknown_words": "words of it were in no caption of the training and the calibration",
}
"""Reasons that a person is told; of the others nothing was to be expected."""


def lines(searcher: Searcher, answer: Answer) -> Iterator[str]:
    """Show rank, relevance where it is known, cosine, path, and the caption in the language of the query."""
    lang = answer.language.code.split("-")[0] if answer.language else ""
    for rank, hit in enumerate(answer.hits, 1):
        relevance = "" if hit.relevance is None else f"{hit.relevance:4.0%}  "
        # Of a text the first line, which is its title.
        itself = (hit.entry.text or "").partition("\n")[0]
        caption = next(
            (text for tag, text in hit.entry.captions.items() if tag.split("-")[0] == lang), itself
        )
        caption = itself if caption == hit.entry.text else caption
        shown = f"{rank:3}  {relevance}{hit.score:6.3f}  {plain(_path(searcher, hit.entry))}{_when(hit)}"
        yield f"{shown}  {plain(caption)}" if caption else shown


def understood(heard: Heard) -> str:
    """Tell a person what was understood of a query that was spoken, and its language."""
    sure = "" if heard.given else f", {heard.confidence:.0%} sure (--lang says it)"
    told = heard.language if heard.language != UNKNOWN else None
    language = "" if told is None else f"{language_name(told)}{sure}: "
    return f"Understood: {language}{plain(heard.text)}"


def remarks(answer: Answer) -> Iterator[str]:
    """Tell a person the language, warnings, and that there is no good match."""
    told = answer.heard is not None and answer.heard.language is not None
    if not told and answer.language and answer.language.code != UNKNOWN:
        sure = "" if answer.language.given else f", {answer.language.confidence:.0%} sure (--lang says it)"
        yield f"Language: {language_name(answer.language.code)}{sure}"
    if (channel := answer.channel) is not None and channel.translation is not None:
        yield f"Asked {channel.name}, by {channel.engine}: {plain(channel.translation)}"
    for warning in answer.warnings:
        yield f"Warning: {plain(warning)}"
    if not answer.hits:
        yield "Nothing found."
    elif answer.unjudged in _UNJUDGED:
        yield f"How well this matches cannot be told: {_UNJUDGED[answer.unjudged]}."
    elif answer.match is False:
        yield "No good match: probably nothing in the index answers this; these are the nearest."


def as_json(searcher: Searcher, query: Query, answer: Answer) -> str:
    """Write an answer as one object on one line."""
    return json.dumps(as_record(searcher, query, answer), ensure_ascii=False)


def as_record(searcher: Searcher, query: Query, answer: Answer) -> dict[str, object]:
    """Give an answer as values that JSON has."""
    asked = {"text": query.text, "item_id": query.item_id, "lang": query.lang, "k": query.k}
    if answer.heard is not None:
        asked |= {"text": answer.heard.text, "speech": str(query.speech)}
    if query.image is not None:
        asked["image"] = str(query.image)
    if query.video is not None:
        asked["video"] = query.video.name if isinstance(query.video, VideoPart) else str(query.video)
    hits: list[dict[str, object]] = [
        {
            "rank": rank,
            "score": round(hit.score, 6),
            "relevance": None if hit.relevance is None else round(hit.relevance, 4),
            **of_entry(searcher, hit.entry),
        }
        for rank, hit in enumerate(answer.hits, 1)
    ]
    return {
        "query": asked,
        "language": dataclasses.asdict(answer.language) if answer.language else None,
        **({"heard": _heard(answer.heard)} if answer.heard else {}),
        "channel": dataclasses.asdict(answer.channel) if answer.channel else None,
        "match": answer.match,
        "unjudged": answer.unjudged,
        "warnings": list(answer.warnings),
        "seconds": {name: round(value, 4) for name, value in answer.seconds.items()},
        "hits": hits,
    }


def of_entry(searcher: Searcher, entry: Entry) -> dict[str, object]:
    """Give an entry as values that JSON has."""
    return {
        "item_id": entry.item_id,
        "kind": entry.kind,
        **({"lang": entry.lang} if entry.lang is not None else {}),
        "file": _path(searcher, entry),
        "metadata": {name: _value(value) for name, value in entry.metadata.items()},
        "captions": dict(entry.captions),
        "caption_roles": entry.caption_roles,
        **({"more_captions": _several(entry.more_captions)} if entry.more_captions else {}),
    }


def _value(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _several(texts: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {lang: list(some) for lang, some in texts.items()}


def _heard(heard: Heard) -> dict[str, object]:
    told = dataclasses.asdict(heard)
    del told["seconds"]  # of the answer
    return told


def paths(searcher: Searcher, answer: Answer) -> Iterator[str]:
    """Yield the files of the hits, best first."""
    return (_path(searcher, hit.entry) for hit in answer.hits)


def plain(text: str) -> str:
    """Escape control and format characters, as \\x1b, so that a text cannot steer a terminal.

    Joiners stay: Persian and Indic scripts, and emoji, need them.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    steers = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if not steers or character in "\u200c\u200d":
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def _when(hit: Hit) -> str:
    """Say from when to when a moment of a video goes."""
    if video_of(hit.entry) is None:
        return ""
    start, end = (int(seconds_of(hit.entry, name)) for name in (START, END))
    # Less than a second is shown as one: `0:02-0:02` would look empty.
    return f"  {_clock(start)}-{_clock(max(start + 1, end))}"


def _clock(seconds: int) -> str:
    minutes = f"{seconds // 60 % 60}:{seconds % 60:02}"
    return minutes if seconds < 3600 else f"{seconds // 3600}:{minutes:0>5}"


def _path(searcher: Searcher, entry: Entry) -> str:
    """Name the file where there is one on this computer, else what the entry says, else its id."""
    file = searcher.media_file(entry)
    return str(file) if file is not None else entry.path or entry.item_id
