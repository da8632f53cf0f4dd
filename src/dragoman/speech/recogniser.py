"""The contract of a recogniser of speech, and how one is found.

A recogniser gets a sound as samples and gives the words in it, their language, and how sure it is that these
words were said. `recognisers/__init__.py` says what its file declares; `hearing.py` decides what counts as
understood. T samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.languages import comparable, same_language
from dragoman.media.sound import Samples
from dragoman.messages import Message
from dragoman.models.hub import model_folder
from dragoman.speech.expected import SIGN, parted, read_words

RECOGNISERS = "dragoman.speech.recognisers"
"""The package whose modules are kinds of recognisers."""


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """Words that were found in a sound, whether or not anybody spoke."""

    text: str
    language: str | None
    """BCP 47; None where the recogniser does not tell."""
    confidence: float = 1.0
    """Probability of the language; 1 where it was given."""
    no_speech: float | None = None
    """Probability that nobody speaks; None where the recogniser does not tell."""
    log_probability: float | None = None
    """Mean natural logarithm of the probability of a token; None where the recogniser does not tell."""
    units: bool = False
    """True where the text is units of sound (`units.py`) and no words: nothing of it was made up."""


class Recogniser(ABC):
    """Finds the words in a sound. May be asked by several threads."""

    languages: tuple[str, ...] | None = None
    """Those that it knows, by tag; None where that cannot be told."""
    expects = True
    """False where it writes no words, and can expect none."""
    words: Mapping[str, str] = {}
    """Words that are expected, by the tag of their language (`expected.py`); set before it is asked."""

    def expected(self, lang: str) -> str:
        """The words that are expected in one of `languages`; "" where there are none."""
        return next((text for tag, text in self.words.items() if _same(tag, lang)), "")

    @abstractmethod
    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        """Find the words in [T] samples in -1 to 1, 16,000 a second, spoken in `lang`, one of `languages`, or
        in whatever language it takes them for.

        Raises UnavailableError where a server does not answer, and UserError for a sound that it refuses.
        """


def language_known(lang: str, known: Sequence[str] | None) -> str:
    """Find the language of a recogniser for a tag: the same, else that of the same language, for `pt-BR` that
    of `pt`. Raises UserError where it knows none."""
    tag = comparable(lang)
    if known is None:
        # Servers take codes of two letters, or three.
        return tag.partition("-")[0]
    if tag in known:
        return tag
    for one in known:
        if _same(one, tag):
            return one
    raise UserError(Message("speech_language_unknown", language=lang))


def _same(one: str, other: str) -> bool:
    try:
        return one == other or same_language(one, other)
    except UserError:  # one of them is none that has a name
        return False


def kinds() -> list[str]:
    """List the kinds of recognisers by their names."""
    return plugins.names(RECOGNISERS)


def kind_of(name: str) -> ModuleType | None:
    """Find the kind that reads a folder or an address."""
    found = (plugins.load(RECOGNISERS, kind, "recogniser") for kind in kinds())
    return next((kind for kind in found if kind.reads(name)), None)


def open_recogniser(name: str | Path, device: str = "cpu") -> Recogniser:
    """Open the recogniser of a folder, an address, or a hub id, which is fetched; with a folder of words that
    it is to expect behind `?words=`.

    Raises UserError where there is none that is known, or its folder is damaged.
    """
    asked, words = parted(str(name))
    kind = kind_of(asked)
    if kind is None and not Path(asked).exists():
        asked = str(model_folder(asked))
        kind = kind_of(asked)
    if kind is None:
        known = "; or ".join(plugins.load(RECOGNISERS, one, "recogniser").LAYOUT for one in kinds())
        raise UserError(f"{name} holds no recogniser of speech that is known: {known}.")
    found: Recogniser = kind.load(asked, device)
    if words is not None:
        if not found.expects:
            raise UserError(f"{asked} writes no words, so it can expect none. Leave {SIGN}{words} out.")
        found.words = read_words(words)
    return found
