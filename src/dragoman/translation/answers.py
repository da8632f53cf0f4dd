"""Answers of language models: which line of an answer translates which line of the request.

Taken is what can be told apart beyond doubt, whatever a model says around it; anything else is an error,
after which the job asks for fewer lines at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from dragoman.texts import worded
from dragoman.translation.engine import EngineError

_THOUGHT = re.compile(
    r"[<\[◁](?P<end>/?)(?:think|thinking|thought|thoughts|reasoning|reflection)[>\]▷]", re.IGNORECASE
)
_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_TAGGED = re.compile(r"<(/?)(?:answer|translations?|output|result|response|final)>", re.IGNORECASE)
# Marks of templates that some servers leave at the end.
_ENDS = re.compile(r"(?:\s*(?:<\|[\w-]+\|>|</s>|<eos>|<end_of_turn>))+\s*\Z", re.IGNORECASE)
# Digits of any script. Not "1.5 m", "1:30 h" and "1.º", which are text.
_NUMBERED = re.compile(
    r"(?:[-*•>]\s+)*(?P<bold>\*{2,3}|__)?(?:(?:line|no\.)\s*)?"
    r"(?:(?P<plain>\d+)(?:\s*\\?[.．]?[)）]|\s*[.．]?[-–—](?=\s)|\s*\\?[.．:：。](?![\dºª°])|\s*、|\t"
    r"|\ufe0f?\u20e3)"
    r"|[#№]\s*(?P<hash>\d+)(?:[.:：)）]|(?=\s))"
    r"|[(（\[【]\s*(?P<bracketed>\d+)\s*[)）\]】][.:、：]?)"
    r"(?P<closed>\*{2,3}|__)?\s*(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)
_HEADING = re.compile(r"#{1,6}\s|(\*\*|__)[^*_]+\1$")
_RULE = re.compile(r"[-*_=~]{3,}")
_BULLET = re.compile(r"[-*•]\s+")
# "a) um", "A. um", "1 um", "1º um".
_LABEL = re.compile(r"\w{1,3}[)、]|[A-Za-z]\.\s|1[\s_ºª°]")
# Beside white space, what editors and right-to-left scripts put at the edge of a line.
_EDGE = " \t\v\f\u00a0\u3000\ufeff\u200b\u200e\u200f\u061c"
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"), ("‘", "’"), ("'", "'"))
_EMPHASIS = (("```", "```"), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"))
_OPENING = tuple(opening for opening, _ in _QUOTES + _EMPHASIS)
_AROUND = "".join({*"".join(map("".join, _QUOTES + _EMPHASIS)), *".!?。"})
_OPENS = re.compile(rf"^[{_EDGE}]*[\[{{]", re.MULTILINE)
_ECHO = re.compile(rf"[{re.escape(_AROUND)}]*\s*(?:[-=]>|→|⇒|=|—|–|:|：)\s*(?=\S)")
_NOTHING = {"n/a", "na", "nan", "null", "none", "undefined"}
# Nobody captions a picture so. In the languages in which models refuse: that of the prompt, or the target.
_REFUSAL = re.compile(
    r"(?:I['’]m|I am) (?:\w+ )?(?:sorry|afraid I|unable|not able)|Sorry,? (?:but |I )|Unfortunately, I"
    r"|I (?:can(?:['’]t|not)|won['’]t) (?:\w+ )?(?:help|assist|transl|provid|fulfil|compl|process)"
    r"|I apologi[sz]e|As an? (?:AI|language)"
    r"|Desculpe?,|Lamento,|Sinto muito,|(?:Eu )?[Nn]ão posso (?:ajud|traduz|atend|fornec)"
    r"|Lo siento,|Disculp[ae],|No puedo (?:ayud|traduc|proporcion)|Mi dispiace,|Non posso (?:aiut|tradur)"
    r"|(?:Je suis )?[Dd]ésolée?,|Je ne peux pas (?:vous aid|aid|tradui|fourni)"
    r"|(?:Es t|T)ut mir leid|Entschuldigung,|Ich kann (?:\w+ )?(?:leider )?nicht (?:helf|übersetz)"
    r"|Извините,|К сожалению, я|Я не могу (?:помо|перев)|(?:عذرا|عذرًا|آسف|أعتذر)[،, ]|لا (?:أستطيع|يمكنني)"
    r"|(?:非常|很)?抱歉|[对對]不起|我(?:无法|無法|不能)|申し訳|すみません|죄송"
    r"|Please (?:provide|share|send)\b|(?:Could|Can) you (?:please )?(?:provide|share|send|clarif)"
    r"|I (?:don['’]t|do not) (?:know\b|understand\b|have (?:enough|the)\b|see (?:any|the) (?:text|line))"
    r"|There is no (?:text|translation) (?:to|provided|given)\b|No translation\b"
    r"|It (?:seems|looks like|appears)(?: that)? (?:you|the (?:text|line|sentence|input))\b"
)
# What stands before a translation, or around it, where it should stand alone.
_TALK = re.compile(
    r"(?:Sure|Certainly|Of course|Absolutely|¡?Claro|Natürlich|Bien sûr)\s?[!,.:]\s|I would translate"
    r"|Here(?:['’]s| is| are) (?:the|your|my) transl|(?:The )?[Tt]ranslat(?:ion|ed)\b"
)
_HELD = re.compile(r"\[[^\[\]]*\]|<[^<>]*>")
_LABELLED = re.compile(r"([^:：]{1,20})[:：]\s")


def read_answer(answer: str, lines: Sequence[str]) -> list[str]:
    """Return the translations of `lines`, which were sent with the numbers 1 to their count.

    An answer bears these numbers, each once and in order, as lines or as the rows of a table, or is JSON: a
    list, or an object with the numbers or the lines as keys. One line alone needs no number. Thoughts, a code
    fence, headings, an introduction, and remarks after a blank line are passed over. Raises EngineError for
    anything else: a model that merges two lines must not shift those after them.
    """
    said = _said(answer)
    found = _from_json(said, lines)
    if found is None:
        if not any("\\" in line for line in lines):
            said = said.replace("\\r", "").replace("\\n", "\n")
        found = _from_lines(said, lines)
    found = _bare(found, lines)
    if label := _shared_label(found, lines):
        raise EngineError(f"the answer calls every line {label!r}")
    for number, (text, line) in enumerate(zip(found, lines, strict=True), 1):
        if doubt := _doubt(text, line):
            raise EngineError(f"the answer to line {number} is {doubt}: {text[:60]!r}")
    return found


def _shared_label(found: Sequence[str], lines: Sequence[str]) -> str | None:
    """Find what stands with a colon before each of several translations, but not before their lines."""
    labels = {label[1] if (label := _LABELLED.match(text)) else None for text in found}
    own = all(map(_LABELLED.match, lines))
    return labels.pop() if len(found) > 1 and len(labels) == 1 and not own else None


def _doubt(text: str, line: str) -> str | None:
    """Say why a text is hardly a translation of a line; empty ones are for the job to judge."""
    if not text or not worded(line):
        return None
    if not worded(text) or (text.lower().strip(".") in _NOTHING and text.lower() != line.lower()):
        return "empty"
    if _HELD.fullmatch(text) and not _HELD.fullmatch(line):
        return "what stands for something"
    if _TALK.match(text) and not _TALK.match(line):
        return "more than a translation"
    # Two translations, or one with a remark: nobody could tell which to keep.
    if any(sign in text and sign not in line for sign in (" / ", "**", '",')):
        return "more than a translation"
    if _REFUSAL.match(text) and not _REFUSAL.match(line):
        return "a refusal"
    # The number of the answer was that of the line itself: "1. place" became "1. Platz".
    if _number_and_text(line) and not any(map(str.isdecimal, text)):
        return "without its number"
    return None


def _said(answer: str) -> str:
    """Cut away thoughts, and a code fence or a tag around the answer."""
    text = _ENDS.sub("", _without_thoughts("\n".join(answer.splitlines())))
    fenced = _FENCED.findall(text)
    # Of two blocks either may be the answer.
    if len(fenced) == 1:
        return str(fenced[0][1])
    tags = list(_TAGGED.finditer(text))
    if [tag[1] for tag in tags] == ["", "/"]:
        return text[tags[0].end() : tags[1].start()]
    return text


def _without_thoughts(text: str) -> str:
    kept, at, inside = "", 0, False
    for mark in _THOUGHT.finditer(text):
        if mark["end"]:
            # The templates of some models open the thoughts themselves, so that the answer only closes them.
            kept, at, inside = kept if inside else "", mark.end(), False
        elif not inside:
            kept, inside = kept + text[at : mark.start()], True
    if inside:
        raise EngineError("the answer ends within its thoughts")
    return kept + text[at:]


def _from_json(said: str, lines: Sequence[str]) -> list[str] | None:
    """Read a list or an object; None where the answer is no JSON."""
    opens = _OPENS.search(said)
    if opens is None or not _apart(said[: opens.end() - 1]):
        return None
    try:
        # Objects as pairs, so that a key that stands twice is seen.
        value, end = json.JSONDecoder(object_pairs_hook=tuple).raw_decode(said, opens.end() - 1)
    except (ValueError, RecursionError):
        return None
    after = said[end:].lstrip(_EDGE)
    if after.strip(_EDGE + "\n") and not re.match(r"\n\s*\n", after):
        return None
    found = _in_json(value, lines)
    if found is None:
        raise EngineError(f"{len(lines)} lines went in and the answer is JSON of another form")
    numbered = [_number_and_text(text.strip(_EDGE)) for text in found]
    if [one and one[0] for one in numbered] == list(range(1, len(lines) + 1)):
        return [one[1] for one in numbered if one]
    return found


def _apart(before: str) -> bool:
    """Tell whether a text is an introduction, or nothing."""
    before = before.strip(_EDGE)
    return not before.strip() or before.rstrip("\n* ").endswith((":", "：")) or before.endswith("\n\n")


def _in_json(value: Any, lines: Sequence[str]) -> list[str] | None:
    numbers = [str(number) for number in range(1, len(lines) + 1)]
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        if keys in (numbers, list(lines)):
            value = [text for _, text in value]
        elif len(value) == 1 and isinstance(value[0][1], list | tuple):
            return _in_json(value[0][1], lines)
        elif len(lines) == 1:
            value = [value]
    if not isinstance(value, list) or len(value) != len(lines):
        return None
    if all(isinstance(one, str) for one in value):
        return value
    # Objects with the number, the line and its translation.
    left = [
        [pair for pair in one if pair[1] not in (int(number), number, line)]
        for one, number, line in zip(value, numbers, lines, strict=True)
        if isinstance(one, tuple)
    ]
    if len(left) != len(lines) or any(len(one) != 1 or not isinstance(one[0][1], str) for one in left):
        return None
    return [one[0][1] for one in left] if len({one[0][0] for one in left}) == 1 else None


def _from_lines(said: str, lines: Sequence[str]) -> list[str]:
    stripped = list(_unruled([line.strip(_EDGE) for line in said.split("\n")], lines))
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


def _unruled(stripped: Sequence[str], lines: Sequence[str]) -> Iterator[str]:
    """Write rows of a table as numbered lines, and rulers as blank ones."""
    for at, line in enumerate(stripped):
        cells = [cell.strip(_EDGE) for cell in line.strip("|").split("|")] if line.startswith("|") else []
        following = stripped[at + 1] if at + 1 < len(stripped) else ""
        if _RULE.fullmatch(line) or (cells and not line.strip("|-: ")):
            yield ""
        elif cells and following.startswith("|") and not following.strip("|-: "):
            # The heads of the columns.
            yield ""
        elif cells and cells[0].isdecimal() and cells[1:-1] in ([], [*lines[int(cells[0]) - 1 :][:1]]):
            yield f"{cells[0]}. {cells[-1]}" if len(cells) > 1 else line
        else:
            yield line


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
    return int(found["plain"] or found["hash"] or found["bracketed"]), text.strip(_EDGE)


def _introduces(stripped: Sequence[str], before: Sequence[int], first: int, count: int) -> bool:
    """Tell whether the lines before the first number are an introduction, and no translation."""
    if not before or stripped[before[-1]].rstrip("*_ ").endswith((":", "：")):
        return True
    # One translation may itself be the line that stands apart, with a remark numbered 1 below.
    heads = _HEADING.match(stripped[before[-1]]) is not None
    return count > 1 and (heads or before[-1] + 1 < first)


def _alone(stripped: Sequence[str], places: Sequence[int], line: str) -> str | None:
    """Find the translation of one line in an answer without numbers."""
    # After an introduction with a colon; that of a text with a colon may be a part of the translation.
    if len(places) == 2 and places[0] + 1 < places[1] and not {":", "："} & set(line):
        places = places[1:] if stripped[places[0]].endswith((":", "：")) else places
    if len(places) != 1:
        return None
    text = stripped[places[0]]
    if not _BULLET.match(line):
        text = _BULLET.sub("", text, count=1)
    # Something that the line does not have stands for a form which nobody can tell from the translation: a
    # label ("Translation: …"), a letter ("a) …"), a row of a table, a tag.
    if _same(text[: len(line)], line) and _ECHO.match(text, len(line)):
        return text
    odd = text[:1] != line[:1] and not (
        text[:1].isalpha() or text[:1].isdecimal() or text[:1] in "(¿¡" + _AROUND
    )
    labelled = {":", "："} & set(text) - set(line) or (_LABEL.match(text) and not _LABEL.match(line))
    return None if odd or labelled or _number_and_text(text.strip(_AROUND)) else text


def _bare(found: list[str], lines: Sequence[str]) -> list[str]:
    """Take away the line itself, where it stands beside its translation, and quotes around all."""
    found = [_without_echo(text, line) for text, line in zip(found, lines, strict=True)]
    for opening, closing in (*_EMPHASIS, *_QUOTES, *_EMPHASIS):
        inner = [text[len(opening) : -len(closing)] for text in found]
        if all(
            one
            and text == f"{opening}{one}{closing}"
            and opening not in one
            and closing not in one
            and not line.startswith(_OPENING)
            for one, text, line in zip(inner, found, lines, strict=True)
        ):
            found = inner
    return found


def _without_echo(text: str, line: str) -> str:
    """Take away the line before an arrow, or in brackets behind."""
    start = len(text) - len(text.lstrip(_AROUND))
    end = start + len(line)
    if _same(text[start:end], line) and (echo := _ECHO.match(text, end)):
        return text[echo.end() :]
    if text.endswith((")", "）", "]")) and (at := max(map(text.rfind, "(（["))) > 0:
        before, within = text[:at].rstrip(), text[at + 1 : -1]
        for one, other in ((before, within), (within, before)):
            if _same(other, line):
                return one
    return text


def _same(text: str, line: str) -> bool:
    return text.strip(_AROUND).casefold() == line.strip(_AROUND).casefold()
