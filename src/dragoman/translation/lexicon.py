"""A word list read by the translation engine in the opposite direction.

An engine that writes the target language picks one word per meaning; read in the opposite direction it knows
many more. A lexicon keeps what it makes of single words, so that training captions can use them.

Kept as `corpus/lexicon/<lang>.tsv`: target word, TAB, its translation into the source language. Lines may be
added by hand; where a word stands twice, its last line counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import category, normalize

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import sole_writer, write_text
from dragoman.languages import language
from dragoman.translation.engine import Engine, Outcome, open_engine
from dragoman.translation.texts import JobSettings, translate_texts

LONGEST = 3
"""Words of a translation that is kept; longer ones explain rather than translate."""
ADDED_SHARE = 0.01
"""A word that opens so many of the longer translations is added as a matter of form."""
BATCH_SIZE = 2000
"""Words a call, where it is not given: they are short, and many go into one."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, kw_only=True)
class LexiconReport:
    """Result of `build_lexicon`."""

    path: Path
    words: int
    """Words asked for."""
    kept: int
    """Words whose translation is something else, of at most `LONGEST` words."""


class Lexicon:
    """Target words by their translation into the source language, whatever their case.

    Synonyms share the whole translation. A word is rendered by those whose translation it is, leaving out a
    word that the engine adds in front as a matter of form: *corre* is "it runs", and renders "runs".
    """

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._source_of = {target.lower(): source.lower() for target, source in entries}
        self._targets_of: dict[str, list[str]] = {}
        self._renderings_of: dict[str, list[str]] = {}
        added = _added_words(self._source_of.values())
        for target, source in self._source_of.items():
            self._targets_of.setdefault(source, []).append(target)
            first, _, rest = source.partition(" ")
            word = rest if rest and first in added else source
            self._renderings_of.setdefault(word, []).append(target)

    def __len__(self) -> int:
        return len(self._source_of)

    @classmethod
    def open(cls, corpus: Corpus, lang: str) -> Lexicon:
        """The lexicon of one language.

        Raises UserError where there is none, with the command that makes it, and for a line that is no entry.
        """
        path = lexicon_path(corpus, lang)
        if not path.is_file():
            raise UserError(
                f"{corpus.folder} has no {lang} lexicon, which this configuration asks for. "
                f"Make it: dragoman lexicon {corpus.folder} --lang {lang} --words LIST --engine ENGINE"
            )
        entries = []
        for number, line in enumerate(_read_lines(path), start=1):
            target, _, source = line.partition("\t")
            if not target or not source or any(ord(sign) < 32 for sign in target + source):
                raise UserError(f"{path}, line {number}: expected WORD, TAB, TRANSLATION, got {line!r}")
            entries.append((target, source))
        return cls(entries)

    def words(self) -> list[str]:
        """All target words."""
        return list(self._source_of)

    def synonyms(self, word: str) -> Sequence[str]:
        """Target words with the translation of this target word, itself among them; often none."""
        source = self._source_of.get(word.lower())
        return () if source is None else self._targets_of[source]

    def renderings(self, word: str) -> Sequence[str]:
        """Target words whose translation is this source word, but for an added one; often none."""
        return self._renderings_of.get(word.lower(), ())


def lexicon_path(corpus: Corpus, lang: str) -> Path:
    """The file of the lexicon of a language."""
    return corpus.folder / "lexicon" / f"{lang}.tsv"


def build_lexicon(
    corpus: str | Path,
    *,
    lang: str,
    engine: str | Engine,
    words: str | Path | None = None,
    source: str = "en",
    settings: JobSettings | None = None,
) -> LexiconReport:
    """Translate a list of words of `lang`, one a line, into `source`, and keep what gives something else.

    Without a list they are the words that the engine itself knows, where it can list them. It is cached as
    captions are, and goes on where it was stopped. Raises UserError for an unreadable or empty list, none
    where it is needed, and where no word gives anything else.
    """
    opened, lang = Corpus.open(corpus), language(lang).tag
    listed = _lower_case(read_words(Path(words)), words) if words else []
    settings = settings or JobSettings()
    settings = replace(settings, batch_size=settings.batch_size or BATCH_SIZE)
    if isinstance(engine, str):
        engine = open_engine(engine, lang, source, device=settings.device)
    listed = listed or _own_words(engine)
    # As one-word sentences, so that no neighbour in the batch decides what a word means.
    asked = {word: f"{word} ." for word in listed}
    outcomes, _ = translate_texts(asked.values(), engine, lang, source, settings)
    answers = {word: _answer(outcomes[line]) for word, line in asked.items()}
    # A word that comes back as it went in was not understood.
    entries = [f"{word}\t{answer}\n" for word, answer in answers.items() if answer and answer != word]
    if not entries:
        raise UserError(
            f"{engine.name} knows none of the {len(listed):,} words of {words or engine.name}. "
            f"Give a list of {lang} words (--words) and an engine from {lang} into {source} (--engine)."
        )
    path = lexicon_path(opened, lang)
    with sole_writer(path.parent):
        write_text(path, "".join(entries))
    return LexiconReport(path=path, words=len(listed), kept=len(entries))


def _added_words(phrases: Iterable[str]) -> set[str]:
    """Words that open at least 1 % of the longer translations, such as the pronouns of conjugated verbs.

    In a lexicon of a few entries nothing can be told; ten are asked for.
    """
    openers = Counter(phrase.partition(" ")[0] for phrase in phrases if " " in phrase)
    return {word for word, count in openers.items() if count >= max(10, ADDED_SHARE * openers.total())}


def _answer(outcome: Outcome) -> str | None:
    words = outcome.strip().rstrip(".").split() if isinstance(outcome, str) else []
    return " ".join(words).lower() if len(words) <= LONGEST and all(map(_is_word, words)) else None


def _is_word(text: str) -> bool:
    # Vowel signs and joiners are no letters to `re`, but without them words of India or Iran are none.
    letters = (sign for sign in text if category(sign)[0] != "M" and sign not in "\u200c\u200d")
    return bool(_WORD.fullmatch("".join(letters)))


def _lower_case(words: Iterable[str], place: object) -> list[str]:
    # A name is not a word that captions vary, and most lists hold many.
    kept = [word for word in words if word == word.lower()]
    if not kept:
        raise UserError(f"{place} holds no lower-case word. Give a text file with one word a line.")
    return kept


def _own_words(engine: Engine) -> list[str]:
    words = list(filter(_is_word, engine.words()))
    if not words:
        raise UserError(f"{engine.name} lists no words of its own. Give a list of words: --words LIST")
    return _lower_case(words, engine.name)


def read_words(path: Path) -> list[str]:
    """The distinct words of a list, one a line; other lines, such as comments, are skipped."""
    words = [normalize("NFC", line.strip()) for line in _read_lines(path)]
    return list(dict.fromkeys(word for word in words if _is_word(word)))


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Give a text file with one word a line.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}). Convert it.") from None
    return lines if lines[-1] else lines[:-1]
