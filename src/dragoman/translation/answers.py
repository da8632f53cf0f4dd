"""Answers of language models: which line of an answer translates which line of the request.

Taken is what can be told apart beyond doubt, whatever a model says around it; anything else is an error,
after which the job asks for fewer lines at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from dragoman.translation.engine import EngineError

_TAG = r"(?:think|thinking|thought|thoughts|reasoning|reflection)"
_THOUGHTS = re.compile(rf"<({_TAG})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"<{_TAG}>", re.IGNORECASE)
_CLOSED = re.compile(rf"</{_TAG}>", re.IGNORECASE)
_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
# Digits of any script. Not "1.5 m" and "1:30 h", which are text.
_NUMBERED = re.compile(
    r"(?:[-*•]\s+)?(?P<bold>\*\*|__)?"
    r"(?:(?P<plain>\d+)(?:\s*[.．:：](?!\d)|\s*[.．]?[)）]|\s*、|\s+[-–—](?=\s))"
    r"|[(（\[【]\s*(?P<bracketed>\d+)\s*[)）\]】][.:、：]?)"
    r"(?P<closed>\*\*|__)?\s*(?P<text>.*)",
    re.DOTALL,
)
# Beside white space, what editors and right-to-left scripts put at the edge of a line.
_EDGE = " \t\v\f\u00a0\u3000\ufeff\u200b\u200e\u200f\u061c"
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"))
_OPENING = tuple(opening for opening, _ in _QUOTES)
_ECHO = re.compile(r"\s*(?:[-=]>|→|⇒|=|—|–|:|：)\s*(?=\S)")


def read_answer(answer: str, lines: Sequence[str]) -> list[str]:
    """Return the translations of `lines`, which were sent with the numbers 1 to their count.

    An answer bears these numbers, each once and in order, or is a JSON list; one line alone needs no number.
    Thoughts, a code fence, an introduction, and remarks after a blank line are passed over. Raises
    EngineError for anything else: a model that merges two lines must not shift those after them.
    """
    said = _said(answer)
    found = _from_json(said, len(lines))
    if found is None:
        found = _from_lines(said, lines)
    return _bare(found, lines)


def _said(answer: str) -> str:
    """Cut away thoughts and a code fence."""
    text = _THOUGHTS.sub("", "\n".join(answer.splitlines()))
    # The templates of some models open the thoughts themselves, so that the answer only closes them.
    text = _CLOSED.split(text)[-1]
    if _OPENED.search(text):
        raise EngineError("the answer ends within its thoughts")
    fenced = _FENCED.findall(text)
    # Of two blocks either may be the answer.
    return fenced[0][1] if len(fenced) == 1 else text


def _from_json(said: str, count: int) -> list[str] | None:
    """Read a list of strings, such a list in an object of one key, or an object with the numbers as keys."""
    if not said.strip(_EDGE + "\n").startswith(("[", "{")):
        return None
    try:
        value: Any = json.loads(said.strip(_EDGE + "\n"))
    except ValueError:
        return None
    if isinstance(value, dict):
        numbers = [str(number) for number in range(1, count + 1)]
        if list(value) == numbers:
            value = list(value.values())
        elif len(value) == 1:
            (value,) = value.values()
    if isinstance(value, list) and len(value) == count and all(isinstance(one, str) for one in value):
        return value
    return None


def _from_lines(said: str, lines: Sequence[str]) -> list[str]:
    stripped = [line.strip(_EDGE) for line in said.split("\n")]
    read = {at: _number_and_text(line) for at, line in enumerate(stripped) if line}
    numbered = {at: found for at, found in read.items() if found is not None}
    if [number for number, _ in numbered.values()] == list(range(1, len(lines) + 1)):
        before = [at for at in read if at < min(numbered)]
        after = [at for at in read if at > max(numbered)]
        between = len(read) - len(before) - len(after) - len(numbered)
        # A line that follows at once may belong to the last translation; after a blank one it does not.
        apart = not after or after[0] > max(numbered) + 1
        if not between and apart and _introduces(stripped, before, min(numbered), len(lines)):
            return [text for _, text in numbered.values()]
    if len(lines) == 1 and not numbered and (alone := _alone(stripped, list(read), lines[0])):
        return [alone]
    numbers = [found[0] if found else None for found in read.values()]
    raise EngineError(f"{len(lines)} lines went in and the answer is numbered {numbers[:30]}")


def _number_and_text(line: str) -> tuple[int, str] | None:
    found = _NUMBERED.fullmatch(line)
    if found is None:
        return None
    text, bold = found["text"], found["bold"]
    # "**1.** text" or "**1. text**".
    if bold and not found["closed"]:
        if not text.endswith(bold):
            return None
        text = text.removesuffix(bold)
    elif found["closed"] and not bold:
        # "1. **text**"
        text = found["closed"] + text
    return int(found["plain"] or found["bracketed"]), text.strip(_EDGE)


def _introduces(stripped: Sequence[str], before: Sequence[int], first: int, count: int) -> bool:
    """Tell whether the lines before the first number are an introduction, and no translation."""
    if not before or stripped[before[-1]].endswith((":", "：")):
        return True
    # One translation may itself be the line that stands apart, with a remark numbered 1 below.
    return count > 1 and before[-1] + 1 < first


def _alone(stripped: Sequence[str], places: Sequence[int], line: str) -> str | None:
    """Find the translation of one line in an answer without numbers."""
    # After an introduction with a colon; that of a text with a colon may be a part of the translation.
    if len(places) == 2 and places[0] + 1 < places[1] and not {":", "："} & set(line):
        places = places[1:] if stripped[places[0]].endswith((":", "：")) else places
    return stripped[places[0]] if len(places) == 1 else None


def _bare(found: list[str], lines: Sequence[str]) -> list[str]:
    """Take away the line itself, where it is repeated before its translation, and quotes around all."""
    for at, (text, line) in enumerate(zip(found, lines, strict=True)):
        if text.startswith(line) and (echo := _ECHO.match(text, len(line))):
            found[at] = text[echo.end() :]
    for opening, closing in _QUOTES:
        if all(
            len(text) > 2
            and (text[0], text[-1]) == (opening, closing)
            and not {opening, closing} & set(text[1:-1])
            and not line.startswith(_OPENING)
            for text, line in zip(found, lines, strict=True)
        ):
            return [text[1:-1] for text in found]
    return found
