"""What engines say that they can do on this computer, and what would have to be installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.errors import UserError
from dragoman.translation.engine import offers, packages, word_for_word
from dragoman.translation.engines import apertium, dictionary

LISTED = """  af-nl
  eng-cat
  eng-cat_valencia
  eng-spa
  es-pt
  es-pt_BR
  odd
  qqq-spa
  spa-eng
  spa-eng_US
"""


@pytest.fixture(autouse=True)
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer with these pairs of Apertium, and two dictionaries of English and Swahili."""
    monkeypatch.setattr(apertium.shutil, "which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(apertium, "run_program", lambda command, data, timeout: LISTED.encode())
    for pair in ("eng-swh", "swh-eng", "eng-ces"):
        (tmp_path / f"freedict-{pair}.index").touch()
    monkeypatch.setattr(dictionary, "INSTALLED", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("en", "es", ["apertium:eng-spa"]),
        ("en", "pt", ["apertium:eng-spa|es-pt", "apertium:eng-spa|es-pt_BR"]),
        ("en", "pt-BR", ["apertium:eng-spa|es-pt_BR", "apertium:eng-spa|es-pt"]),
        ("es", "en", ["apertium:spa-eng", "apertium:spa-eng_US"]),
        # A variant on the way, and a pair of an unknown language, are no way.
        ("af", "nl", ["apertium:af-nl"]),
        ("en", "sw", ["dictionary:eng-swh|swh-eng"]),
        ("sw", "en", ["dictionary:swh-eng|eng-swh"]),
        ("en", "cs", ["dictionary:eng-ces"]),
        ("pt", "en", []),
        ("en", "zh", []),
    ],
)
def test_engines_offer_what_is_installed_and_joins_the_languages(
    source: str, target: str, found: list[str]
) -> None:
    assert offers(source, target) == found


def test_words_come_after_sentences(computer: Path) -> None:
    (computer / "freedict-eng-spa.index").touch()
    assert offers("en", "es") == ["apertium:eng-spa", "dictionary:eng-spa"]
    assert [word_for_word(spec) for spec in offers("en", "es")] == [False, True]


def test_nothing_is_offered_where_the_program_is_missing_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: object, data: bytes, timeout: float) -> bytes:
        raise apertium.EngineError("apertium ended with status 1")

    monkeypatch.setattr(apertium, "run_program", fails)
    assert offers("en", "es") == []
    monkeypatch.setattr(apertium.shutil, "which", lambda program: None)
    assert offers("en", "es") == []


def test_packages_are_those_of_debian_in_either_direction() -> None:
    assert packages("en", "es")[0] == "apertium apertium-eng-spa"
    assert packages("es", "en")[0] == "apertium apertium-eng-spa"
    assert "apertium apertium-eng-spa apertium-es-pt" in packages("en", "pt")
    assert packages("en", "sw") == ["dict-freedict-eng-swh dict-freedict-swh-eng"]
    assert packages("en", "cy") == ["dict-freedict-eng-cym dict-freedict-cym-eng"]
    # apertium-eu-en has no pair from English to Basque.
    assert packages("en", "eu") == []
    assert packages("en", "zh") == []


def test_an_unknown_language_is_told() -> None:
    with pytest.raises(UserError, match="Unknown language 'xx'"):
        offers("en", "xx")
