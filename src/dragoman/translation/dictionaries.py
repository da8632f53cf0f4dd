"""Bilingual dictionaries as lists of words and what they become: of the format dictd, or tables.

A dictionary of dictd is two files: `NAME.index` says where in `NAME.dict.dz` each entry stands, and an entry
is a text for the eye. FreeDict writes them much alike: the headword, perhaps its sound, its kind and notes in
brackets on the first line; below it translations, and, set in, examples, notes and synonyms.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from dragoman.errors import DamagedError, UnknownError, UserError
from dragoman.languages import language
from dragoman.textfiles import numbered_lines, table, unpacked

INSTALLED = Path("/usr/share/dictd")
"""Folder of Debian's packages `dict-freedict-…`."""
LARGEST = 1 << 29
"""Bytes of unpacked text that are read; FreeDict's largest dictionary has 80 MB."""
LONGEST_ENTRY = 1 << 20
"""Bytes of one entry that are read."""
LONGEST_FORM = 4
"""Words of a translation that is kept; longer ones explain rather than translate."""
LONGEST_PHRASE = 6
"""Words of a headword that is kept; longer ones are sentences, which no caption repeats."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_INDEXED = re.compile(r"([^\t]*)\t([A-Za-z0-9+/]{1,6})\t([A-Za-z0-9+/]{1,6})(?:\t[^\t]*)?")
_PAIR = re.compile(r"(?:^|[^a-z])([a-z]{2,3})-([a-z]{2,3})$")
_SUFFIXES = (".index", ".dict.dz", ".dict")
# Words end at blanks and at signs other than joiners, apostrophes and hyphens; vowel signs of India, which
# are no letters to `re`, belong to them.
_WORD = re.compile(
    r"[^\s!-&(-,./:-@\[-`{-\xa9\xab-\xb1\xb4\xb6-\xb9\xbb\xbf\u0589\u060c\u061b\u061f\u0964\u0965\u1362"
    r"\u2000-\u200b\u200e-\u2018\u201a-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u303f\uff01-\uff0f"
    r"\uff1a-\uff20]+"
)
_SOUND = re.compile(r"\s/[^/]*/(?=[\s,;)]|$)")
_KIND = re.compile(r"<([^<>]*)>")
_NOTE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}")
_OPEN = re.compile(r"[(\[{<].*|[)\]}>]")
_BRACKETS = re.compile(r"[(\[{<)\]}>]")
_APART = re.compile(r"[,;/]")
_REFERENCE = re.compile(r"(?:^(?:see|synonyms?|antonyms?|notes?)|\bsee also)\b[^{]*:.*", re.IGNORECASE)
_FORM_OF = re.compile(r"[^:{}]* of \{[^}]*\}:")
_STRAY = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"^[\s;,]*(?:\d+\.(?=\s|$))?\s*")


class Entry(NamedTuple):
    """A word or phrase of one language and one translation of it, both in plain text."""

    headword: str
    form: str
    kind: str
    """"v" of verbs, "n" of nouns, "" of all else and where the dictionary does not say."""


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """One dictionary, its entries in its own order."""

    name: str
    files: tuple[Path, ...]
    """All that it was read from."""
    source: str
    """Canonical tag of the language of the headwords."""
    target: str
    entries: list[Entry]


def read_dictionary(place: str) -> Dictionary:
    """Read the dictionary at `place`: a file of a dictionary of dictd, its name, or a table.

    A name, with or without `freedict-`, is looked for where Debian's packages are installed. The languages
    are the end of the name (`freedict-eng-ces`), those of a table the two names of its columns.

    Raises UserError for one that is not there, names no languages, is damaged or holds no translation.
    """
    path = Path(place)
    stem = next((place.removesuffix(end) for end in _SUFFIXES if place.endswith(end)), place)
    if stem == place and path.is_file():
        found = _read_table(path)
    else:
        bases = [Path(stem), INSTALLED / stem, INSTALLED / f"freedict-{stem}"]
        base = next((base for base in bases if _beside(base, ".index").is_file()), None)
        if base is None:
            raise UnknownError(f"There is no dictionary {place!r}. {_how_to_install(path.name)}")
        found = _read_dictd(base)
    if not found.entries:
        raise UserError(f"The dictionary {place} holds no translation. {_how_to_install(path.name)}")
    return found


def words_of(text: str) -> list[str]:
    """The words of a text, with a plain apostrophe for others, without other signs."""
    found = (word.strip("'-") for word in _WORD.findall(text.replace("’", "'").replace("´", "'")))
    return [word for word in found if word]


def _read_table(path: Path) -> Dictionary:
    header, rows = table(path, usual="\t")
    try:
        source, target = (language(name).tag for name in header)
    except ValueError:
        raise UserError(
            f"{path}, line 1: expected two columns that are named by their languages, such as en, TAB, cs, "
            f"got {', '.join(header)[:200]!r}. Write them there."
        ) from None
    entries: dict[Entry, None] = {}
    for row in rows:
        if fault := row.fault or (_STRAY.search(row.raw) and "a byte of it is not UTF-8. Save it as UTF-8."):
            raise UserError(f"{path}, line {row.number}: {fault}")
        left, right = row.cells
        entries |= {Entry(*pair, ""): None for pair in product(_headwords(left), _forms(right))}
    return Dictionary(name=path.name, files=(path,), source=source, target=target, entries=list(entries))


def _read_dictd(base: Path) -> Dictionary:
    pair = _PAIR.search(base.name)
    if pair is None:
        raise UserError(
            f"The name {base.name!r} does not end with two languages, as 'freedict-eng-ces' does. Rename the "
            f"files {base.name}.index and {base.name}.dict.dz so that it does."
        )
    source, target = (language(code).tag for code in pair.groups())
    index = _beside(base, ".index")
    data = next((file for end in _SUFFIXES[1:] if (file := _beside(base, end)).is_file()), None)
    if data is None:
        raise UserError(f"{index} has no {base.name}.dict.dz beside it. {_how_to_install(base.name)}")
    try:
        text = _unpack(data)
        # By place: that is the order in which it was written, and where two words share an entry it is one.
        places = sorted(set(_places(index, len(text))))
        if sum(size for _, size in places) > 2 * len(text):
            raise ValueError(f"the entries of {index.name} lie over one another")
        entries: dict[Entry, None] = {}
        for start, size in places:
            entries.update(dict.fromkeys(_read_entry(text[start : start + size].decode())))
    except UserError:
        raise
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DamagedError(
            f"The dictionary {base} is damaged: {error}. {_how_to_install(base.name)}"
        ) from None
    return Dictionary(
        name=base.name, files=(index, data), source=source, target=target, entries=list(entries)
    )


def _unpack(path: Path) -> bytes:
    with unpacked(path) as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"{path.name} has more than {LARGEST >> 20} MiB of text")
    return text


def _places(index: Path, size: int) -> Iterator[tuple[int, int]]:
    """The first byte of each entry, and how many it has."""
    for number, raw in numbered_lines(index):
        if not raw:
            continue
        found = _INDEXED.fullmatch(raw.decode())
        if found is None:
            raise ValueError(f"line {number} of {index.name} is not a word, a place and a length")
        if found[1].startswith(("00database", "00-database")):
            continue
        start, length = _value(found[2]), _value(found[3])
        if start + length > size or length > LONGEST_ENTRY:
            raise ValueError(f"line {number} of {index.name} points beyond what there is to read")
        yield start, length


def _value(number: str) -> int:
    total = 0
    for digit in number:
        total = total * 64 + _VALUES[digit]
    return total


def _read_entry(text: str) -> Iterator[Entry]:
    head, *lines = text.split("\n")
    kind, words = _kind(head), list(_headwords(head))
    for line in lines:
        # Set in are examples, notes, and words to be looked up as well.
        if line.startswith("   "):
            continue
        # "Plural of {mtu}: man; person" translates the plural.
        line = _FORM_OF.sub("", _REFERENCE.sub("", _PLACE.sub("", line)))
        for form, word in product(_forms(line), words):
            yield Entry(word, form, kind or _kind(line))


def _kind(line: str) -> str:
    said = {word for one in _KIND.findall(line) for word in re.findall(r"[a-z]+", one.lower())}
    if said & {"v", "vb", "verb", "vt", "vi", "irrv"}:
        return "v"
    return "n" if said & {"n", "noun", "pl", "masc", "fem", "neut"} else ""


def _headwords(text: str) -> Iterator[str]:
    """The headwords that stand in a text, without sounds, marks and notes."""
    for word in _APART.split(_plain(text)):
        words = words_of(word)
        if 0 < len(words) <= LONGEST_PHRASE:
            yield " ".join(words)


def _forms(text: str) -> Iterator[str]:
    """The translations that stand in a text, without marks and notes, in its order."""
    for form in _APART.split(_plain(text)):
        words = words_of(form)
        if 0 < len(words) <= LONGEST_FORM:
            yield " ".join(words)


def _plain(text: str) -> str:
    text, before = normalize("NFC", _SOUND.sub(" ", text)), ""
    while before != text and _BRACKETS.search(text):
        before, text = text, _NOTE.sub(" ", text)
    # A bracket that is never closed takes all that follows.
    return _OPEN.sub(" ", text)


def _beside(base: Path, end: str) -> Path:
    return base.with_name(base.name + end)


def _how_to_install(name: str) -> str:
    pair = _PAIR.search(name.partition(".")[0])
    package = f"dict-freedict-{pair[1]}-{pair[2]}" if pair else "dict-freedict-eng-ces"
    return (
        f"Install it: sudo apt-get install --reinstall {package} (apt-cache search dict-freedict lists all), "
        "or give a table with two columns that are named by their languages."
    )
