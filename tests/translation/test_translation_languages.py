"""The table of languages, and what models are told."""

from __future__ import annotations

import pytest

from dragoman.errors import UserError
from dragoman.translation.conventions import Codes, codes
from dragoman.translation.languages import Language, language, same_language

FLORES = ["eng_Latn", "por_Latn", "zho_Hans", "zho_Hant", "dog", "Ġcat"]
M2M = ["__en__", "__pt__", "__zh__", "dog"]


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


@pytest.mark.parametrize(
    ("vocabulary", "target", "expected"),
    [
        (FLORES, "pt", Codes(source="eng_Latn", forced="por_Latn")),
        (FLORES, "zh-TW", Codes(source="eng_Latn", forced="zho_Hant")),
        (M2M, "pt-BR", Codes(source="en", forced="__pt__")),
        (["en_XX", "pt_XX", "zh_CN"], "zh", Codes(source="en_XX", forced="zh_CN")),
        (["<2pt>", "<2pt_BR>", "<2es>", "▁dog"], "pt", Codes(prefix="<2pt>")),
        (["<2pt>", "<2pt_BR>", "<2es>"], "pt-BR", Codes(prefix="<2pt_BR>")),
        ([">>por<<", ">>spa<<"], "pt", Codes(prefix=">>por<<")),
        ([">>pt<<", ">>es<<"], "pt", Codes(prefix=">>pt<<")),
        ([">>pt_BR<<", ">>pt<<"], "pt-BR", Codes(prefix=">>pt_BR<<")),
        ([">>zho_Hans<<", ">>zho_Hant<<"], "zh-Hant", Codes(prefix=">>zho_Hant<<")),
        (["▁dog", "▁cat"], "pt", Codes()),
    ],
)
def test_the_vocabulary_says_what_a_model_is_told(
    vocabulary: list[str], target: str, expected: Codes
) -> None:
    assert codes(vocabulary, language("en"), language(target), "some/model") == expected


@pytest.mark.parametrize(
    "vocabulary", [FLORES, M2M, ["<2pt>", "<2es>"], [">>por<<", ">>spa<<"], ["en_XX", "pt_XX"]]
)
def test_a_model_that_does_not_speak_the_language_says_what_it_speaks(vocabulary: list[str]) -> None:
    with pytest.raises(UserError, match=r"some/model does not speak Galician \(gl\)\. It knows "):
        codes(vocabulary, language("en"), language("gl"), "some/model")
