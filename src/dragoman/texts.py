"""Texts as people type them: what cannot be seen, and forms of letters that stand for others.

Captions are stored as they came, for they are a record. A model reads a text in the form that is made here,
queries and captions alike.
"""

from __future__ import annotations

import re
import unicodedata

# Default_Ignorable_Code_Point of the Unicode Character Database, and the marks of interlinear annotation;
# less the Mongolian vowel separator, which parts letters, and the four that `_step` looks at one by one.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_PRESENTED = re.compile("[\ufe0e\ufe0f]")
_JOINED = re.compile("[\u200c\u200d]+")
_SOME = re.compile(f"{INVISIBLE.pattern}|{_PRESENTED.pattern}|{_JOINED.pattern}")
# Scripts in which a joiner decides how the letters beside it look, and what a word means: those from Arabic
# to Myanmar, Khmer and Mongolian, and the Indic ones beyond.
_JOINING = re.compile("[\u0600-\u109f\u1780-\u18af\ua800-\uabff\U00011000-\U00011fff]")
# Forms of letters, digits and kana that stand for others: letterlike and Roman ones, circled letters,
# radicals, ligatures, Arabic in its shapes, full and half width, mathematical alphabets, enclosed letters;
# the long s of old prints, and raised letters (1ᵉʳ).
_FORMS = (
    "\u017f\u02b0-\u02b8\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf\u2071\u207f\u2090-\u209c"
    "\u210a-\u2115\u2119-\u211d\u2124\u2128\u212c-\u2134\u2139\u213c-\u213f\u2145-\u2149\u2160-\u217f"
    "\u24b6-\u24e9\u2f00-\u2fd5\ufb00-\ufb4f\ufb50-\ufdfb\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
    "\uff66-\uff9f\uffa1-\uffdc\U0001d400-\U0001d7ff\U0001ee00-\U0001eeff\U0001f130-\U0001f149\U0001fbf0-\U0001fbf9"
)
_WORDS_OF_FORMS = re.compile(f"[{_FORMS}]+")
_LONE = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_WIDE_WORD = re.compile(_LONE.pattern + "{2}")
# Tabs and line breaks are missing here: in captions they become blanks. Lone surrogates are stray bytes of a
# file that is not UTF-8, and no Parquet file can hold them.
_UNSAFE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_BREAKS = re.compile(r"[\t\n\v\f\r]+")
_LINE_ENDS = re.compile(r"\r\n|[\n\v\f\r]")


def _letters(text: str) -> dict[int, str]:
    """Read `of=as of=as …`, where several letters before the sign all become what stands behind it."""
    pairs = (pair.partition("=") for pair in text.split())
    return {ord(letter): other for letters, _, other in pairs for letter in letters}


_APOSTROPHES = _letters("’ʼʹʻ‘‛`´′׳='")
# Letters that keyboards, fonts and habits put in the place of others of the same word.
_SPELLED = (
    _APOSTROPHES
    # Typed without them where a keyboard has none: German, French, the languages of the North, Russian.
    | _letters("ß=ss ẞ=SS œ=oe Œ=OE æ=ae Æ=AE ё=е Ё=Е")
    # Romanian with cedillas, Greek at the end of a word, Arabic and Persian keyboards.
    | _letters("ş=ș Ş=Ș ţ=ț Ţ=Ț ς=σ أإآٱ=ا يىې=ی ك=ک ة=ه ۀ=ه")
    # Letters that other encodings wrote with a joiner: Malayalam and Bengali.
    | _letters("ൺ=ണ് ൻ=ന് ർ=ര് ൽ=ല് ൾ=ള് ൿ=ക് ৎ=ত্")
)
TATWEEL = "\u0640"
CURLY = re.compile(r"(?<=[^\W\d_])[’ʼ＇´`‘](?=[^\W\d_])")
# Tatweel, the vowels and signs of Arabic and Hebrew, joiners, and stress on Cyrillic letters.
_UNWRITTEN = re.compile(
    "[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u07fa\u0591-\u05bd\u05bf"
    "\u05c1\u05c2\u05c4\u05c5\u05c7\u200c\u200d]|(?<=[\u0400-\u052f])[\u0300\u0301]"
)


def visible(text: str) -> str:
    """Return the text composed (NFC) and without what cannot be seen; that form is its own.

    Kept are joiners where they shape the letters of a word (Persian, Indic scripts) or make one emoji of
    several, and the selector that makes an emoji of a sign.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    # To drop one character may join two others, or leave one with another neighbour.
    while _SOME.search(text) and (clean := _step(text)) != text:
        text = clean
    return text


def unformed(text: str) -> str:
    """Return the text as `visible` does, with words in forms of letters as words in plain ones."""
    text = visible(text)
    if text.isascii():
        return text
    # Single letters and digits of full width are ordinary Japanese and Chinese (Tシャツ), which models saw in
    # their training; a word of them is an input method left on. Their punctuation is of full width.
    kept = _LONE if not _WIDE_WORD.search(text) else None

    def fold(found: re.Match[str]) -> str:
        return found[0] if kept and kept.fullmatch(found[0]) else unicodedata.normalize("NFKC", found[0])

    return unicodedata.normalize("NFC", _WORDS_OF_FORMS.sub(fold, text))


def legible(text: str) -> str:
    """Return the text as a model with a vocabulary that is not ours reads it; that form is its own.

    Words in forms of letters (full width, mathematical, ligatures) become plain ones, apostrophes of
    telephones and word processors those of keyboards, and Arabic loses what only stretches it. A text in
    capitals becomes small: most models read it as unknown words, or not at all.
    """
    text = CURLY.sub("'", unformed(text).replace(TATWEEL, ""))
    if _shouted(text):
        # The dot is what Python makes of the Turkish capital I.
        text = unicodedata.normalize("NFC", text.lower().replace("i\u0307", "i"))
    return text


def written(word: str) -> str:
    """Return a word with plain apostrophes, and without what many leave unwritten: the vowels of Arabic and
    Hebrew, Tatweel, joiners."""
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _UNWRITTEN.sub("", word)).translate(_APOSTROPHES)


def spelled(word: str) -> str:
    """Return a word in the one spelling that stands for all of it, to be compared and not to be shown.

    Beside what is `written`, it has one letter for those that keyboards put in the place of others, and one
    digit for those of all scripts. Case and accents are kept.
    """
    if word.isascii():
        return word
    word = written(unicodedata.normalize("NFC", word)).translate(_SPELLED)
    word = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in word)
    return unicodedata.normalize("NFC", word)


def caption(text: str) -> tuple[str, str | None]:
    """Return a caption as it is stored, tabs and line breaks as blanks, and why it can be none, if so."""
    # Translation engines take one text a line.
    return (text if text.isprintable() else _BREAKS.sub(" ", text)), _fault(text, "caption")


def one_line(text: str) -> str:
    """Put a text on one line, its words a blank apart."""
    return " ".join(text.split())


def passage(text: str) -> tuple[str, str | None]:
    """Return the text of an item as it is stored, lines parted by `\\n`, and why it can be none, if so."""
    lines = [one_line(line) for line in _LINE_ENDS.split(text)]
    return "\n".join(lines).strip("\n"), _fault(text, "text")


def _fault(text: str, what: str) -> str | None:
    shown = repr(text) if len(repr(text)) <= 120 else f"{text[:118]!r}…"
    if not text.isprintable() and (unsafe := _UNSAFE.search(text)):
        return (
            f"text is {shown}: character {unsafe.start() + 1} is the control character or stray "
            f"byte U+{ord(unsafe.group()):04X}. Remove it, or save the file as UTF-8."
        )
    # Pasted from web pages, invisible characters stand alone in cells that look empty.
    if not visible(text).strip():
        return f"text is {shown}, which is empty. Write a {what} or remove the record."
    return None


def worded(text: str) -> bool:
    """Tell whether a text holds more than punctuation: a letter, a digit, or a sign such as an emoji."""
    return any(unicodedata.category(character)[0] in "LNS" for character in text)


def _shouted(text: str) -> bool:
    """Tell whether a text is written in capitals."""
    # Letters without case beside a capital are ordinary (Tシャツを着た人), and one short word is as likely a
    # name: NASA, TV.
    letters = [character for character in text if character.isalpha()]
    return (len(letters) > 5 or " " in text.strip()) and bool(letters) and all(map(str.isupper, letters))


def _step(text: str) -> str:
    text = INVISIBLE.sub("", text)
    text = _PRESENTED.sub(lambda found: found[0] if _is_sign(_before(found)) else "", text)
    text = _JOINED.sub(lambda found: found[0][0] if _shapes(found) else "", text)
    return unicodedata.normalize("NFC", text)


def _shapes(found: re.Match[str]) -> bool:
    """Tell whether the joiners found stand where they shape something."""
    before, after = _before(found), found.string[found.end() : found.end() + 1]
    if not before or not after:
        return False
    if _JOINING.match(before):
        return _JOINING.match(after) is not None
    return found[0][0] == "\u200d" and _is_emoji(before) and _is_emoji(after)


def _before(found: re.Match[str]) -> str:
    """The character before a match, if any."""
    # By its place, not by cutting off what stands before, which a long text would pay for at every match.
    return found.string[max(found.start() - 1, 0) : found.start()]


def _is_sign(character: str) -> bool:
    # Digits too: with a selector they are keycaps.
    return bool(character) and unicodedata.category(character)[0] in "SPN"


def _is_emoji(character: str) -> bool:
    return _PRESENTED.match(character) is not None or unicodedata.category(character) in ("So", "Sk")
