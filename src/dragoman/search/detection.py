"""In which language a query is, and whether the model was trained on it.

Naive Bayes over byte n-grams (py3langid), among the languages of the query's script, with a prior: a word or
two are in a language the model was trained on, unless their spelling says otherwise.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from threading import Thread
from typing import Any

from dragoman.errors import UserError
from dragoman.languages import canonical_tag, comparable
from dragoman.messages import Message
from dragoman.search.query import QueryLanguage
from dragoman.texts import legible

UNKNOWN = "und"
TRAINED_PRIOR = 6.0
"""Odds of a language of the training against another one, before the text is read."""
SOURCE_PRIOR = 2.0
"""Odds of the first language of the training against its others: single words mostly fit several."""
WIDE_PRIOR = 3.0
"""Odds of languages that a great many people write."""
RARE_PRIOR = 0.05
"""Odds of languages that few queries are in; without it, they take whatever is spelt oddly."""
UNSURE = 0.35
"""Confidence below which a language outside the training is not warned of."""

# Languages by the script that most of their writers use; what is not named here is written in Latin letters.
_SCRIPTS: Mapping[str, str] = {
    "CYRILLIC": "ru uk bg be sr mk kk ky mn ba tg tt",
    "ARABIC": "ar fa ur ps ug sdh",
    "DEVANAGARI": "hi mr ne sa gom",
    "BENGALI": "bn as",
    "HEBREW": "he",
    "ETHIOPIC": "am",
    "CJK": "zh ja",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "GREEK": "el grc",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "ORIYA": "or",
    "TIBETAN": "dz",
}
_SAME: Mapping[str, str] = {
    **dict.fromkeys(("ary", "arz", "arb"), "ar"),
    **dict.fromkeys(("wuu", "yue", "cmn"), "zh"),
    **dict.fromkeys(("nb", "nn"), "no"),
    "uzs": "uz",
    "fil": "tl",
}
"""Varieties that a query is too short to tell apart."""
_OFTEN_ASKED = """
ar be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl he hi hr hu hy id is it ja ka kk ko lt
lv mk ms nl no pl pt ro ru sk sl sq sr sv sw ta te th tl tr uk ur vi zh
"""
_COMMON = frozenset(_OFTEN_ASKED.split())
_WIDE = frozenset(("ar", "de", "en", "es", "fr", "hi", "ja", "pt", "ru", "zh"))


def language_of(text: str, trained: Sequence[str], given: str | None = None) -> QueryLanguage:
    """Detect the language of a text; `trained` are the BCP 47 tags of the model, its source language first.

    `given` overrides what the text looks like. Raises UserError where it is no BCP 47 tag.
    """
    if given is not None:
        try:
            code = canonical_tag(given)
        except ValueError as error:
            raise UserError(f"{error} Or leave it out: the language is detected.") from None
        return QueryLanguage(code=code, confidence=1.0, given=True, trained=_plain(code) in _plains(trained))
    code, confidence = _detected(text, _plains(trained))
    return QueryLanguage(code=code, confidence=confidence, given=False, trained=code in _plains(trained))


def language_warning(language: QueryLanguage, trained: Sequence[str]) -> Message | None:
    """Warn of a query in a language outside training; None where there is nothing to say.

    It is not known what public models were trained on: `trained` is empty.
    """
    if not trained or language.trained or language.code == UNKNOWN or language.confidence < UNSURE:
        return None
    return Message("language_untrained", language=language.code, languages=tuple(trained))


def _detected(text: str, trained: Sequence[str]) -> tuple[str, float]:
    # Which languages a spelling is of was learnt from small letters, in their plain forms.
    text = legible(text)
    candidates = _candidates(text)
    if not candidates:
        return UNKNOWN, 0.0
    weights: dict[str, float] = defaultdict(float)
    for label, probability in _identifier().rank(text):
        code = _SAME.get(label, label)
        if code in candidates:
            weights[code] = max(weights[code], _prior(code, trained) * max(probability, 1e-9))
    best = max(weights, key=lambda code: (weights[code], code))
    return best, weights[best] / sum(weights.values())


def _prior(code: str, trained: Sequence[str]) -> float:
    wide = WIDE_PRIOR if code in _WIDE else 1.0
    if code in trained:
        return max(TRAINED_PRIOR, wide) * (SOURCE_PRIOR if code == trained[0] else 1.0)
    return wide if code in _COMMON else RARE_PRIOR


def _candidates(text: str) -> frozenset[str]:
    """Find the languages of the script that most letters are in; none where there is no letter."""
    scripts = Counter(unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    if not scripts:
        return frozenset()
    # A text with kana is Japanese, however many of its characters are Chinese.
    kana = scripts["HIRAGANA"] or scripts["KATAKANA"]
    script = "HIRAGANA" if kana else scripts.most_common(1)[0][0]
    return frozenset(_SCRIPTS[script].split()) if script in _SCRIPTS else _latin()


@cache
def _latin() -> frozenset[str]:
    elsewhere = {code for codes in _SCRIPTS.values() for code in codes.split()} - {"sr"}
    return frozenset(_SAME.get(label, label) for label in _identifier().labels) - elsewhere - {"zxx"}


def read_ahead() -> None:
    """Read what tells languages in a thread of its own, which takes a third of a second; a search by text
    waits for it."""
    thread = Thread(target=_read, daemon=True)
    thread.start()
    _ahead.append(thread)


def _identifier() -> Any:
    for thread in _ahead:
        thread.join()
    return _read()


_ahead: list[Thread] = []


@cache
def _read() -> Any:
    # Only searches by text pay for it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _plains(codes: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_plain, codes))


def _plain(code: str) -> str:
    # Runs of before may name their languages in other spellings.
    language = comparable(code).split("-")[0].lower()
    return _SAME.get(language, language)
