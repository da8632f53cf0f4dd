"""Signals that one translated caption gives of its own quality: pure functions from texts to a number.

Each signal states its range and which end is good. None means that the signal cannot be had: it says
nothing for or against the caption. No signal needs a human translation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import pairwise

from dragoman.errors import MissingExtraError

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts written without spaces; here every character counts as a word."""

SCRIPTS: dict[tuple[str, ...], str] = {
    (
        "LATIN",
    ): "af ast az bcl bs ca ceb cs cy da de en eo es et eu fi fil fo fr fy ga gd gl gn ha hr ht hu id "
    "ig is it jv la lb lg ln lt lv mg mi ms mt nb nds nl nn no ny oc om pl pt qu rm ro rw sc sk sl sm sn so "
    "sq ss st su sv sw tk tl tn to tr ts uz vi wo xh yo zu Latn",
    ("CYRILLIC",): "ba be bg ce cv kk ky mk mn os ru tg tt uk Cyrl",
    ("CYRILLIC", "LATIN"): "sr sh",
    ("ARABIC",): "ar ckb fa ps sd ug ur Arab",
    ("HEBREW",): "he yi Hebr",
    ("GREEK",): "el Grek",
    ("ARMENIAN",): "hy Armn",
    ("GEORGIAN",): "ka Geor",
    ("DEVANAGARI",): "bho hi mai mr ne sa Deva",
    ("BENGALI",): "as bn Beng",
    ("GUJARATI",): "gu Gujr",
    ("GURMUKHI",): "pa Guru",
    ("ORIYA",): "or Orya",
    ("TAMIL",): "ta Taml",
    ("TELUGU",): "te Telu",
    ("KANNADA",): "kn Knda",
    ("MALAYALAM",): "ml Mlym",
    ("SINHALA",): "si Sinh",
    ("THAI",): "th Thai",
    ("LAO",): "lo Laoo",
    ("KHMER",): "km Khmr",
    ("MYANMAR",): "my Mymr",
    ("TIBETAN",): "bo dz Tibt",
    ("ETHIOPIC",): "am ti Ethi",
    ("CJK",): "zh yue wuu Hans Hant Hani",
    ("CJK", "HIRAGANA", "KATAKANA"): "ja Jpan",
    ("HANGUL", "CJK"): "ko Kore",
}
"""Unicode names of the scripts of a language, by primary subtag or by script subtag (BCP 47)."""

_SCRIPTS_OF = {subtag: scripts for scripts, subtags in SCRIPTS.items() for subtag in subtags.split()}


def round_trip(source: str, back: str | None) -> float | None:
    """Sentence chrF (Popović 2015, sacrebleu) of the back-translation against the source, 0..1, high is good.

    None without a back-translation.
    """
    return None if back is None else _chrf()(back, source)


def recovered(source: str, text: str, back: str | None) -> float | None:
    """The round trip of what was translated: sentence chrF of the back-translation without the words that
    stand in the translation as well, against the source, 0..1, high is good.

    A word that the engine does not know comes back unharmed, because it was never translated; the plain
    round trip takes that for success. Upper and lower case are one; punctuation, numbers and single letters
    do not count as words left as they were. None without a back-translation.
    """
    if back is None:
        return None
    left = {word.casefold() for word in _comparable(text)}
    kept = (word.casefold() for word in words(back))
    translated = " ".join(word for word in kept if word not in left)
    return _chrf()(translated, " ".join(word.casefold() for word in words(source)))


def known(source: str, text: str, vocabulary: Collection[str]) -> float | None:
    """Share of the words of the translation that are in a list of words of its language, 0..1, high is good.

    `vocabulary` is in folded case. Numbers, single letters, and names (capitalised in the source, but not its
    first word) do not count, nor do words in scripts without spaces, which cannot be counted. None where
    no word is left.
    """
    named = _names(source)
    judged = [word.casefold() for word in _comparable(text) if _script_of(word[0]) not in UNSPACED]
    judged = [word for word in judged if word not in named]
    return sum(word in vocabulary for word in judged) / len(judged) if judged else None


def agreement(text: str, others: Sequence[str]) -> float | None:
    """Mean sentence chrF with what other engines made of the same source, 0..1, high is good.

    None where no other engine translated it.
    """
    if not others:
        return None
    score = _chrf()
    return sum(score(text, other) for other in others) / len(others)


def length_ratio(source: str, text: str) -> float | None:
    """Letters and digits of the translation by those of the source, 0 and up; the usual ratio is good.

    What is usual depends on both languages. None if the source has neither letter nor digit.
    """
    length = sum(map(len, words(source)))
    return sum(map(len, words(text))) / length if length else None


def copied(source: str, text: str) -> float:
    """Share of the words of the translation that stand in the source as they are, 0..1, low is good.

    Numbers, single letters, and names (capitalised in the source, but not its first word) do not count:
    they are the same in many languages. 0 where no word is left.
    """
    given, named = {word.casefold() for word in words(source)}, _names(source)
    judged = [word for word in map(str.casefold, _comparable(text)) if word not in named]
    return sum(word in given for word in judged) / len(judged) if judged else 0.0


def repetition(source: str, text: str) -> float:
    """Repetition of pairs of words beyond that of the source, 0..1, low is good.

    A text repeats 1 - distinct / all pairs of neighbouring words: 2/3 for "la la la la".
    """
    return max(0.0, _repeated(text) - _repeated(source))


def script(lang: str, text: str) -> float | None:
    """Share of letters in a script of the language, averaged over words, 0..1, high is good.

    By words, for one Latin name in a Chinese text has more letters than the rest. None where the text has no
    letters or the scripts of the language are not in `SCRIPTS`.
    """
    expected = expected_scripts(lang)
    found = [[_script_of(sign) for sign in word if sign.isalpha()] for word in words(text)]
    shares = [sum(name in (expected or ()) for name in word) / len(word) for word in found if word]
    return sum(shares) / len(shares) if expected and shares else None


def expected_scripts(lang: str) -> tuple[str, ...] | None:
    """Scripts of a BCP 47 tag; a script subtag ("sr-Latn") decides over the language."""
    primary, *rest = lang.replace("_", "-").split("-")
    named = [part.title() for part in rest if len(part) == 4 and part.isalpha()]
    return _SCRIPTS_OF.get(named[0] if named else primary.lower())


def words(text: str) -> list[str]:
    """Runs of letters, marks and digits, case kept; single characters in `UNSPACED` scripts."""
    return text.translate(_SEPARATORS).split()


def _comparable(text: str) -> list[str]:
    """The words of which it means something that they stand elsewhere too: no numbers, no single letters."""
    return [
        word
        for word in words(text)
        if not word.isnumeric() and (len(word) > 1 or _script_of(word) in UNSPACED)
    ]


def _names(source: str) -> set[str]:
    """Words with a capital that are not the first, in folded case."""
    return {word.casefold() for word in words(source)[1:] if word[0].isupper()}


class _Separators(dict[int, str]):
    """Translation table, filled as characters turn up: what parts words becomes a space."""

    # `str.translate` runs in C, and asks Python for each character of the corpus once, not once a caption.

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if unicodedata.category(sign)[0] not in "LMN":
            value = " "
        else:
            value = f" {sign} " if _script_of(sign) in UNSPACED else sign
        self[code] = value
        return value


_SEPARATORS = _Separators()


@cache
def _script_of(sign: str) -> str:
    return unicodedata.name(sign, "UNKNOWN").split()[0]


@cache
def _chrf() -> Callable[[str, str], float]:
    try:
        from sacrebleu.metrics import CHRF
    except ImportError:
        raise MissingExtraError("sacrebleu", "mt", "The round-trip score") from None
    metric = CHRF()
    return lambda text, reference: float(metric.sentence_score(text, [reference]).score) / 100


def _repeated(text: str) -> float:
    cased = [word.casefold() for word in words(text)]
    pairs = list(pairwise(cased))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
