"""The table of languages."""

from __future__ import annotations

import pytest

from dragoman.errors import UserError
from dragoman.languages import Language, language, same_language


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("pt", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("por", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("por_Latn", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("pt-BR", Language("pt-BR", "por", "por_Latn", "pt", "Portuguese")),
        ("zh", Language("zh", "zho", "zho_Hans", "zh", "Chinese")),
        ("zh-TW", Language("zh-Hant", "zho", "zho_Hant", "zh", "Chinese (Hant)")),
        ("sw", Language("sw", "swa", "swh_Latn", "sw", "Swahili")),
        ("swh", Language("sw", "swa", "swh_Latn", "sw", "Swahili")),
        ("no", Language("nb", "nob", "nob_Latn", "no", "Norwegian Bokmål")),
        ("gl", Language("gl", "glg", "glg_Latn", "gl", "Galician")),
        ("br", Language("br", "bre", None, "br", "Breton")),
        ("eu", Language("eu", "eus", "eus_Latn", None, "Basque")),
    ],
)
def test_every_code_of_a_language_finds_its_row(tag: str, expected: Language) -> None:
    assert language(tag) == expected


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("portugese", r"Unknown language 'portugese'\. Did you mean pt \(Portuguese\)"),
        ("xq", r"Unknown language 'xq'\. .*Give a BCP 47 tag such as pt"),
        ("", r"Unknown language ''"),
    ],
)
def test_an_unknown_language_is_told_with_close_matches(tag: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        language(tag)


def test_names_of_one_language_are_the_same_across_conventions() -> None:
    assert same_language("es", "spa")
    assert same_language("pt_BR", "por")
    assert not same_language("es", "pt")
