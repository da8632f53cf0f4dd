"""Messages to people: all that the page and the service say to visitors, in each language.

One file per language, named by its tag: `page` holds the texts of the page, `service` the warnings and errors
of searches under their codes. English is what the command line and the API say; the page says the same code
in the language of its reader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

from dragoman.languages import comparable, language_name

ENGLISH = "en"
Argument = str | int | float | tuple[str, ...]
Catalogue = Mapping[str, Mapping[str, str]]


class Message(str):
    """A sentence in English that knows its code and arguments, by which it is said in other languages.

    The arguments `language` and `languages` are tags (BCP 47); numbers stay numbers, as each language writes
    them its own way.
    """

    code: str
    arguments: Mapping[str, Argument]

    def __new__(cls, code: str, /, **arguments: Argument) -> Message:
        """Say the message of a code. Raises KeyError for a code or an argument that is missing."""
        shown = {name: _shown(name, value) for name, value in arguments.items()}
        found = super().__new__(cls, catalogue(ENGLISH)["service"][code].format_map(shown))
        found.code, found.arguments = code, arguments
        return found

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Argument]]:
        """Tell pickle how to make it again."""
        return (self.code,), dict(self.arguments)


def message_of(error: BaseException) -> Message | None:
    """Give the message that an error was raised with; None where it was raised with a text alone."""
    said = error.args[0] if error.args else None
    return said if isinstance(said, Message) else None


@cache
def languages() -> tuple[str, ...]:
    """Tags of the languages there is a catalogue of, English first."""
    files = resources.files("dragoman.messages").iterdir()
    found = {file.name.removesuffix(".json") for file in files if file.name.endswith(".json")}
    return (ENGLISH, *sorted(found - {ENGLISH}))


@cache
def catalogue(language: str) -> Catalogue:
    """Read the texts of a language out of `languages()`."""
    file = resources.files("dragoman.messages") / f"{language}.json"
    found: Catalogue = json.loads(file.read_text(encoding="utf-8"))
    return found


def nearest(wanted: str) -> str | None:
    """Find the language with a catalogue for a tag: the same, or that of the same language; else None."""
    tag = comparable(wanted)
    by_tag = {known.lower(): known for known in languages()}
    return by_tag.get(tag.lower()) or by_tag.get(tag.lower().partition("-")[0])


def _shown(name: str, value: Argument) -> str:
    if isinstance(value, str):
        return language_name(value) if name == "language" else value
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
