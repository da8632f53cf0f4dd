"""Short queries as people type them, and what is said of their language."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from py3langid.langid import LanguageIdentifier

from dragoman.errors import UserError
from dragoman.search import detection
from dragoman.search.detection import language_of, language_warning
from dragoman.search.query import QueryLanguage

TRAINED = ("en", "pt", "gl", "es", "zh", "ar", "uk")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("um cão a correr na praia", "pt"),
        ("menina com chapéu vermelho", "pt"),
        ("un can correndo na praia", "gl"),
        ("dúas nenas xogando na rúa", "gl"),
        ("un perro corriendo por la playa", "es"),
        ("niños jugando al fútbol", "es"),
        ("a dog running on the beach", "en"),
        ("red car", "en"),
        ("dog", "en"),
        ("一只狗在海滩上奔跑", "zh"),
        ("狗", "zh"),
        ("كلب يجري على الشاطئ", "ar"),
        ("собака біжить по пляжу", "uk"),
        ("дівчина в червоній сукні", "uk"),
        ("ein Hund läuft am Strand", "de"),
        ("zwei Kinder spielen Fußball", "de"),
        ("pes běží po pláži", "cs"),
        ("dvě děti hrají fotbal", "cs"),
        ("koira juoksee rannalla", "fi"),
        ("lapset pelaavat jalkapalloa", "fi"),
        ("浜辺を走る犬", "ja"),
        ("해변을 달리는 개", "ko"),
        ("σκύλος στην παραλία", "el"),
        ("कुत्ता समुद्र तट पर दौड़ रहा है", "hi"),
        ("дети играют в футбол", "ru"),
    ],
)
def test_the_language_of_a_short_query_is_recognised(text: str, code: str) -> None:
    found = language_of(text, TRAINED)
    assert found.code == code
    assert found.trained == (code in TRAINED)
    warning = language_warning(found, TRAINED)
    assert (warning is None) == found.trained
    if warning:
        assert warning.endswith("results may be poor. Trained: en, pt, gl, es, zh, ar, uk.")


def test_a_word_that_several_languages_have_is_in_one_of_the_training() -> None:
    assert language_of("praia", ("en", "pt")).code == "pt"
    assert language_of("casa", ("en", "it")).code == "it"
    assert language_of("dog", ("pt", "en")).trained
    assert language_of("犬", ("en", "ja")).code == "ja"
    assert language_of("犬", ("en", "zh")).code == "zh"


@pytest.mark.parametrize("text", ["123", "?!", "", "🐕"])
def test_what_has_no_letters_has_no_language(text: str) -> None:
    found = language_of(text, TRAINED)
    assert found == QueryLanguage(code="und", confidence=0.0, given=False, trained=False)
    assert language_warning(found, TRAINED) is None


def test_what_the_user_says_counts() -> None:
    assert language_of("dog", ("en", "pt-BR"), "PT-br") == QueryLanguage(
        code="pt-BR", confidence=1.0, given=True, trained=True
    )
    assert language_of("dog", ("en", "nb"), "no").trained
    finnish = language_of("dog", ("en",), "fi")
    assert language_warning(finnish, ("en",)) == (
        "The model was not trained on Finnish (fi); results may be poor. Trained: en."
    )
    assert language_of("dog", ("en",), "fi_FI").code == "fi-FI"
    assert language_of("dog", ("en", "pt_BR"), "por").trained
    with pytest.raises(UserError, match=r"lang is 'Suomi'.*Or leave it out"):
        language_of("dog", ("en",), "Suomi")


def test_regions_of_the_training_do_not_matter() -> None:
    assert language_of("um cão a correr na praia", ("en", "pt-BR")).trained
    assert language_of("一只狗在海滩上奔跑", ("en", "zh-Hans")).trained


def test_confidence_grows_with_the_text() -> None:
    short, long = (language_of(text, TRAINED) for text in ("um cão", "um cão a correr na praia com a bola"))
    assert short.code == long.code == "pt"
    assert 0.3 < short.confidence < long.confidence <= 1


def test_a_search_waits_for_what_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    read, readers = LanguageIdentifier.from_model_file, []

    def counted(*arguments: Any, **options: Any) -> LanguageIdentifier:
        readers.append(threading.current_thread())
        return read(*arguments, **options)

    monkeypatch.setattr(LanguageIdentifier, "from_model_file", counted)
    detection._read.cache_clear()
    detection.read_ahead()
    assert language_of("um cão a correr na praia", TRAINED).code == "pt"
    assert len(readers) == 1 and readers[0] is not threading.current_thread()
