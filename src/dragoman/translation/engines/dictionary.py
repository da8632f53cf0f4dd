"""Bilingual dictionaries, word for word, for languages that no other engine knows: `dictionary:eng-ces`.

Needs a dictionary of FreeDict, as Debian packages them, or a table of two columns.

Words stay in the order of the source and know no grammar. Several dictionaries are joined by `|`, each read
in the direction that its name says, or against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import Language, language, same_language
from dragoman.textfiles import text_lines
from dragoman.translation.dictionaries import (
    INSTALLED,
    LONGEST_PHRASE,
    Dictionary,
    read_dictionary,
    words_of,
)
from dragoman.translation.engine import (
    Engine,
    Rejected,
    describe_options,
    fingerprint,
    require_argument,
)
from dragoman.translation.inflection import english_bases, english_present, nearest

METHOD = 2
"""Changes whenever the same files make other translations, which the cache then does not hold."""
WORDS = True
PACKAGED = (
    "afr-deu afr-eng ara-eng bre-fra ces-eng cym-eng dan-eng deu-eng deu-ita deu-kur deu-nld deu-por deu-tur "
    "eng-afr eng-ara eng-ces eng-cym eng-dan eng-deu eng-ell eng-fra eng-gle eng-hin eng-hrv eng-hun eng-ita "
    "eng-lat eng-lit eng-nld eng-pol eng-por eng-rom eng-rus eng-spa eng-srp eng-swe eng-swh eng-tur epo-eng "
    "fra-bre fra-eng fra-nld gla-deu gle-eng gle-pol hrv-eng hun-eng isl-eng ita-deu ita-eng jpn-deu jpn-eng "
    "jpn-fra jpn-rus kha-deu kha-eng kur-deu kur-eng kur-tur lat-deu lat-eng lit-eng mkd-bul nld-deu nld-eng "
    "nld-fra nno-nob oci-cat pol-gle por-deu por-eng san-deu slk-eng slv-eng spa-ast spa-deu spa-eng spa-por "
    "srp-eng swe-eng swh-eng swh-pol tur-deu tur-eng wol-fra deu-bul deu-ell deu-fin deu-fra deu-ind deu-pol "
    "deu-rus deu-spa deu-swe ell-bul ell-eng ell-fin ell-fra ell-ind ell-ita ell-jpn ell-lat ell-lit ell-nld "
    "ell-nor ell-pol ell-por ell-rus ell-spa ell-swe eng-bul eng-fin eng-ind eng-jpn eng-nor fin-eng fra-bul "
    "fra-deu fra-ell fra-fin fra-ita fra-jpn fra-pol fra-por fra-rus fra-spa fra-swe fra-tur ita-pol ita-por "
    "ita-rus ita-spa ita-swe nld-pol nld-spa pol-deu pol-eng pol-fra por-fra por-spa swe-deu swe-fin"
)
"""FreeDict's dictionaries in Debian 12; a package is called dict-freedict-PAIR."""
ARTICLES = ("a", "an", "the")
"""Words of English that many languages do without, and whose translations are explanations or other words."""
AUXILIARIES = ("is", "are", "was", "were", "be", "been", "being")
REACH = 2
"""Words behind an auxiliary among which its verb in -ing is looked for."""
ENDS = ".,;:!?"
"""Signs that are kept, behind the word before them."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The choice among translations."""

    texts: str = ""
    """Text of the target language that chooses, or words, each with a TAB and its count, or a corpus."""
    unknown: str = "keep"
    """Words without a translation: keep or drop."""

    def __post_init__(self) -> None:
        if self.unknown not in ("keep", "drop"):
            raise ValueError(f"unknown must be keep or drop, got {self.unknown!r}")


def build(
    argument: str, source: Language, target: Language, options: Config, device: str | None
) -> DictionaryEngine:
    """The engine of the dictionaries of `argument`, which all join `source` and `target`."""
    places = require_argument(argument, "dictionary:eng-ces").split("|")
    dictionaries = [read_dictionary(place) for place in places]
    for one in dictionaries:
        if _direction(one, source, target) is None:
            raise UserError(
                f"The dictionary {one.name} joins {one.source} and {one.target}, but translations from "
                f"{source.tag} to {target.tag} are asked for. Name another, or other languages."
            )
    return DictionaryEngine(dictionaries, source, target, options)


def offers(source: Language, target: Language) -> list[str]:
    """The dictionaries of FreeDict that are installed, together; that of the direction first."""
    there = [path.stem.removeprefix("freedict-") for path in sorted(INSTALLED.glob("freedict-*-*.index"))]
    found = _joining(there, source, target)
    return ["|".join(found)] if found else []


def packages(source: Language, target: Language) -> list[str]:
    """The packages of FreeDict's dictionaries."""
    found = [f"dict-freedict-{pair}" for pair in _joining(PACKAGED.split(), source, target)]
    return [" ".join(found)] if found else []


def _joining(pairs: Sequence[str], source: Language, target: Language) -> list[str]:
    """Those of these pairs that join two languages: in the direction asked for, then against it."""
    ends, found = [source.iso3, target.iso3], []
    for wanted in (ends, ends[::-1]):
        found += [pair for pair in pairs if list(map(_iso3, pair.split("-"))) == wanted]
    return found


def _iso3(code: str) -> str | None:
    try:
        return language(code).iso3
    except UserError:
        return None


class DictionaryEngine(Engine):
    """The longest phrases that the dictionaries know, each by its most usual translation.

    How usual a word is, is counted in the translations of the dictionaries themselves, and in `texts` where
    these are given.
    """

    batch_size = 5000

    def __init__(
        self, dictionaries: Sequence[Dictionary], source: Language, target: Language, options: Config
    ) -> None:
        texts = Path(options.texts) if options.texts else None
        shown = replace(options, texts=texts.name) if texts else options
        self.name = f"dictionary:{'|'.join(one.name for one in dictionaries)}{describe_options(shown)}"
        self._counts = _text_counts(texts, target) if texts else Counter[str]()
        # By what is counted: other captions join the corpus, and these translations among them.
        parts: dict[str, object] = {"method": METHOD, "texts": fingerprint(self._counts)}
        parts |= {file.name: sha256(file) for one in dictionaries for file in one.files}
        self.version = fingerprint(parts)
        self._keeps = options.unknown == "keep"
        self._english = source.iso3 == "eng"
        self._forms: dict[str, dict[str, str]] = {}
        for one in dictionaries:
            against = _direction(one, source, target) == -1
            for headword, form, kind in one.entries:
                if against:
                    headword, form = form, headword
                headword = headword.lower().removeprefix("to " if self._english else "")
                self._forms.setdefault(headword, {}).setdefault(form, kind)
        self._headwords = Counter(form for forms in self._forms.values() for form in forms)
        for form, headwords in self._headwords.items():
            for word in set(form.lower().split()):
                self._counts[word] += headwords
        self._sorted = [] if self._english else sorted(self._forms)

    def words(self) -> list[str]:
        return [word for word in self._forms if " " not in word]

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        return [self._translate(line) for line in lines]

    def _translate(self, line: str) -> str | Rejected:
        words, ends = _words_and_ends(line)
        found, known, at = [], False, 0
        while at < len(words):
            near = slice(at, at + LONGEST_PHRASE)
            form, size = self._look_up([word.lower() for word in words[near]], ends[near])
            known |= bool(form)
            if form is None and (self._keeps or words[at].isdecimal()):
                form = words[at]
            if form:
                found.append(form + ends[at + size - 1])
            at += size
        if not known:
            return Rejected(f"{self.name} has no word of it")
        text = " ".join(found)
        return text[0].upper() + text[1:] if line[:1].isupper() else text

    def _look_up(self, words: Sequence[str], ends: Sequence[str]) -> tuple[str | None, int]:
        """The translation of the first of these words, "" for none needed, None for none known; how many."""
        # Before phrases: "a little" is another thing than what a little girl is.
        if self._english and words[0] in ARTICLES:
            return "", 1
        whole = next((at + 1 for at, end in enumerate(ends) if end), len(words))
        for size in range(whole, 1, -1):
            # Of "in a red shirt", "in a" is no phrase.
            if self._english and words[size - 1] in ARTICLES:
                continue
            if form := self._best(" ".join(words[:size])):
                return form, size
        if self._english and _helps(words):
            return "", 1
        return self._single(words[0]), 1

    def _single(self, word: str) -> str | None:
        if self._english:
            # A dog that is running "runs"; "running" itself is often a noun.
            for present in english_present(word):
                if form := self._best(present, verb=True):
                    return form
        near = english_bases(word) if self._english else [nearest(word, self._sorted) or ""]
        for known in (word, *near):
            if form := self._best(known):
                return form
        parts = word.split("-")
        forms = [self._single(part) for part in parts] if len(parts) > 1 else []
        return " ".join(filter(None, forms)) or None

    def _best(self, headword: str, *, verb: bool = False) -> str | None:
        """The most usual translation of a headword; of a verb, those that are surely nouns left out."""
        forms = self._forms.get(headword, {})
        return max((f for f, kind in forms.items() if not verb or kind != "n"), key=self._usual, default=None)

    def _usual(self, form: str) -> tuple[int, float]:
        words = form.lower().split()
        # A word that stands under many headwords says little about each.
        said = min(self._counts[word] for word in words) / math.sqrt(self._headwords[form])
        # Phrases explain what single words say.
        return -len(words), said


def _direction(dictionary: Dictionary, source: Language, target: Language) -> int | None:
    """1 where the dictionary leads from `source` to `target`, -1 where it leads back, else None."""
    ends = dictionary.source, dictionary.target
    wanted = source.tag, target.tag
    if all(map(same_language, ends, wanted)):
        return 1
    return -1 if all(map(same_language, ends, wanted[::-1])) else None


def _helps(words: Sequence[str]) -> bool:
    """Tell whether the first of these words is an auxiliary: "is" of "is running"."""
    return words[0] in AUXILIARIES and any(word.endswith("ing") for word in words[1 : 1 + REACH])


def _words_and_ends(line: str) -> tuple[list[str], list[str]]:
    """The words of a line, and for each the sign that ends a part of the sentence behind it, or ""."""
    words: list[str] = []
    ends: list[str] = []
    for piece in line.replace(" 's ", "'s ").split():
        found = words_of(piece)
        words += found
        ends += [""] * len(found)
        if piece[-1] in ENDS and ends:
            ends[-1] = piece[-1]
    return words, ends


def _text_counts(path: Path, target: Language) -> Counter[str]:
    """The count of each word of a text, in small letters; a line may be a word, a TAB and its count.

    A folder is a corpus, of which human training captions in the target language count. Raises UserError
    for a file or folder that cannot be read, or holds no word.
    """
    counts: Counter[str] = Counter()
    if path.is_dir():
        # The extra `corpus` is not needed for files.
        from dragoman.corpus.corpus import Corpus

        captions = Corpus.open(path).select(role="human", lang=target.tag, split="train")
        counts.update(word for text in captions.texts for word in words_of(text.lower()))
    for line in () if path.is_dir() else text_lines(path):
        if line.fault:
            raise UserError(f"{path}, line {line.number}: {line.fault}")
        word, _, count = line.text.partition("\t")
        if count.isdecimal() and count.isascii() and len(count) < 16:
            counts[word.lower()] += int(count)
        else:
            counts.update(words_of(line.text.lower()))
    if not counts:
        raise UserError(
            f"{path} holds no word of {target.name}. Give a text or a corpus that does: texts=FILE"
        )
    return counts
