"""Words that a recogniser is to expect."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_recogniser import FakeRecogniser, syllables

from dragoman.errors import UserError
from dragoman.speech import recogniser as of_recognisers
from dragoman.speech.expected import frequent_words, parted, read_words
from dragoman.speech.recogniser import open_recogniser
from dragoman.speech.units import UnitSettings, fit_units


def test_words_are_the_most_frequent_longest_apart_in_one_order() -> None:
    texts = ["Um cão na praia.", "Dois cachorros: praia, MAR_alto e 1234567!", "cachorros, alto"]
    assert frequent_words(texts) == "alto, cachorros, praia, dois."
    assert frequent_words(["um cão", ""]) == ""
    many = [f"palavra{chr(97 + one // 26)}{chr(97 + one % 26)}" for one in range(200)]
    assert frequent_words(many).count(",") == 89


def test_a_folder_of_words_stands_behind_a_name(tmp_path: Path) -> None:
    assert parted("whisper/") == ("whisper/", None)
    assert parted("http://host/v1#m?words=a/b") == ("http://host/v1#m", Path("a/b"))
    (tmp_path / "pt_BR.txt").write_text("uma praia\numa praia cheia\n", encoding="utf-8")
    (tmp_path / "en.txt").write_text("the beach\n", encoding="utf-8")
    assert read_words(tmp_path) == {"pt-BR": "praia, cheia.", "en": "beach."}


def test_words_are_those_of_the_language_that_is_asked_for() -> None:
    found = FakeRecogniser()
    assert found.expected("pt") == ""
    found.words = {"tlh": "qapla.", "pt-BR": "praia.", "en": "beach."}
    assert [found.expected(lang) for lang in ("pt", "en", "tlh", "de")] == ["praia.", "beach.", "qapla.", ""]


def test_a_recogniser_is_opened_with_the_words_behind_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kind:
        @staticmethod
        def load(name: str, device: str) -> FakeRecogniser:
            return FakeRecogniser(text=name)

    (tmp_path / "pt.txt").write_text("uma praia\n", encoding="utf-8")
    monkeypatch.setattr(of_recognisers, "kind_of", lambda name: Kind)
    opened = open_recogniser(f"whisper/?words={tmp_path}")
    assert opened.words == {"pt": "praia."}
    assert opened.recognise(syllables(), "pt").text == "whisper/"
    assert open_recogniser("whisper/").words == {}


def test_words_that_cannot_be_had_are_told(tmp_path: Path) -> None:
    fit_units([syllables()], tmp_path / "units", UnitSettings(count=4), {})
    with pytest.raises(UserError, match="writes no words, so it can expect none"):
        open_recogniser(f"{tmp_path / 'units'}?words={tmp_path}")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="has no words to expect: a folder of texts was expected"):
            read_words(folder)
    (tmp_path / "words.txt").write_text("uma praia\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds words of no known language: lang is 'words'"):
        read_words(tmp_path)
