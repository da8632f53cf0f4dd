"""The catalogue: every language says all of it, of the same things, and no other file says a part of it."""

from __future__ import annotations

import pickle
import re
import unicodedata
from pathlib import Path

import pytest

import dragoman
from dragoman.errors import UserError
from dragoman.messages import Message, catalogue, languages, message_of, nearest

SOURCE = Path(dragoman.__file__).parent
PLACES = re.compile(r"\{(\w+)\}")
TEXTS = {(part, key): text for part, texts in catalogue("en").items() for key, text in texts.items()}
SAME_WORD = {
    *(("cs", "relevance"), ("es", "no"), ("it", "no"), ("fr", "collection")),
    *((lang, "kind_video") for lang in ("cs", "de", "it", "sw")),
    *((lang, "kind_text") for lang in ("cs", "de")),
}
"""Words that a language has in common with English."""
SCRIPTS = {"ar": "ARABIC", "hi": "DEVANAGARI", "ja": "CJK HIRAGANA KATAKANA", "ru": "CYRILLIC", "zh": "CJK"}


def test_there_are_a_dozen_languages_and_both_kinds_of_portuguese() -> None:
    assert languages()[0] == "en" and len(languages()) >= 12
    # The page has both parts under one roof.
    assert not catalogue("en")["page"].keys() & catalogue("en")["service"].keys()
    assert {"pt", "pt-BR", "es", "ar", "zh", "cs", "sw"} <= set(languages())
    pt, br = (dict(catalogue(tag)["page"]) for tag in ("pt", "pt-BR"))
    assert (pt["search"], br["search"]) == ("Procurar", "Buscar")


@pytest.mark.parametrize("lang", [lang for lang in languages() if lang != "en"])
def test_a_language_says_everything_in_its_own_words(lang: str) -> None:
    texts = {(part, key): text for part, some in catalogue(lang).items() for key, text in some.items()}
    assert list(texts) == list(TEXTS)
    for (part, key), text in texts.items():
        english = TEXTS[part, key]
        assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(english)), key
        plain = PLACES.sub("", english)
        if any(letter.isalpha() for letter in plain):
            assert text != english or (lang, key) in SAME_WORD, key
        wanted = SCRIPTS.get(lang, "LATIN").split()
        letters = [unicodedata.name(one).split()[0] for one in PLACES.sub("", text) if one.isalpha()]
        assert not letters or any(script in wanted for script in letters), key


def test_codes_of_the_sources_are_those_of_the_catalogue() -> None:
    said: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "Message(" in text:
            said |= set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', text))
    codes = set(catalogue("en")["service"])
    # Some are put together: `unread_nothing` with `_any`.
    assert {code for code in codes if code.removesuffix("_any") not in said} == set()


def test_a_message_says_english_and_remembers_what_of() -> None:
    cut = Message("query_cut", characters=1234567, read=1000)
    assert cut == "The query has 1,234,567 characters; the first 1,000 were read."
    assert (cut.code, cut.arguments) == ("query_cut", {"characters": 1234567, "read": 1000})
    told = Message("language_untrained", language="fi", languages=("en", "pt"))
    assert told == "The model was not trained on Finnish (fi); results may be poor. Trained: en, pt."
    assert Message("too_late", seconds=0.5) == "No answer within 0.5 seconds."
    again = pickle.loads(pickle.dumps(told))
    assert (again, again.code, again.arguments) == (told, told.code, told.arguments)
    assert message_of(UserError(cut)) is cut
    assert message_of(UserError("a text")) is None and message_of(UserError()) is None
    with pytest.raises(KeyError, match="read"):
        Message("query_cut", characters=1)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("pt", "pt"),
        ("pt-br", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("pt-AO", "pt"),
        ("de-CH", "de"),
        ("zh-Hant-TW", "zh"),
        ("fi", None),
        ("*", None),
        ("", None),
    ],
)
def test_the_nearest_language_is_the_same_or_of_the_same_name(asked: str, found: str | None) -> None:
    assert nearest(asked) == found


def test_the_page_says_nothing_but_texts_of_the_catalogue() -> None:
    page = SOURCE / "service" / "page"
    document = (page / "index.html").read_text(encoding="utf-8")
    scripts = "".join(file.read_text(encoding="utf-8") for file in page.glob("*.js"))
    keys = set(catalogue("en")["page"])
    said = set(re.findall(r"say\.(\w+)", document)) | set(re.findall(r'say\["(\w+)"\]', document))
    assert said | set(re.findall(r'\bsay\("(\w+)"', scripts)) <= keys | {"refused"}
    assert {key for key in keys - said if f'"{key}"' not in scripts} == {"own_name"}
    # Between the tags of the document there is no text of its own.
    bare = re.sub(r"<script.*?</script>|\{[{%].*?[%}]\}|<[^>]*>", "", document, flags=re.DOTALL)
    assert bare.split() == []
    labels = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', document)
    assert [label for label in labels if label and not label.startswith("{{ say.")] == []
