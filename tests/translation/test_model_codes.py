"""The codes that models are told of their languages."""

from __future__ import annotations

import pytest

from dragoman.errors import UserError
from dragoman.languages import language
from dragoman.translation.models import Codes, codes

FLORES = ["eng_Latn", "por_Latn", "zho_Hans", "zho_Hant", "dog", "Ġcat"]
M2M = ["__en__", "__pt__", "__zh__", "dog"]


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
