"""The table of languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import UserError
from dragoman.languages import Language, canonical_tag, language, same_language


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("pt", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("por", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("por_Latn", Language("pt", "por", "por_Latn", "pt", "Portuguese")),
        ("pt-BR", Language("pt-BR", "por", "por_Latn", "pt", "Portuguese")),
        ("zh", Language("zh", "zho", "zho_Hans", "zh", "Chinese")),
        ("zh-TW", Language("zh-TW", "zho", "zho_Hant", "zh", "Chinese (Hant)")),
        ("sw", Language("sw", "swa", "swh_Latn", "sw", "Swahili")),
        ("swh", Language("sw", "swa", "swh_Latn", "sw", "Swahili")),
        ("no", Language("no", "nob", "nob_Latn", "no", "Norwegian Bokmål")),
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
    ("given", "stored", "flores"),
    [
        ("pt_BR", "pt-BR", "por_Latn"),
        ("pt-br", "pt-BR", "por_Latn"),
        (" PT_br.UTF-8 ", "pt-BR", "por_Latn"),
        ("zh_TW", "zh-TW", "zho_Hant"),
        ("zh_TW.Big5", "zh-TW", "zho_Hant"),
        ("zh-HK", "zh-HK", "zho_Hant"),
        ("zh_MO", "zh-MO", "zho_Hant"),
        ("zh-hant-tw", "zh-Hant-TW", "zho_Hant"),
        ("zh-CN", "zh-CN", "zho_Hans"),
        ("cmn-Hant", "zh-Hant", "zho_Hant"),
        ("cmn-Hans", "zh-Hans", "zho_Hans"),
        ("zh-cmn", "zh", "zho_Hans"),
        ("zh-yue", "yue", "yue_Hant"),
        ("no-NO", "no-NO", "nob_Latn"),
        ("iw-IL", "he-IL", "heb_Hebr"),
        ("in", "id", "ind_Latn"),
        ("fil-PH", "fil-PH", "tgl_Latn"),
        ("eng", "en", "eng_Latn"),
        ("ger", "de", "deu_Latn"),
        ("deu", "de", "deu_Latn"),
        ("por_Latn", "pt", "por_Latn"),
        ("zho_Hant", "zh-Hant", "zho_Hant"),
        ("de_AT@euro", "de-AT", "deu_Latn"),
        ("uz_UZ@cyrillic", "uz-Cyrl-UZ", None),
        # Models write Serbian in Cyrillic letters alone: another script is told, never given for this one.
        ("sr-Latn", "sr-Latn", None),
        ("sr_RS@latin", "sr-Latn-RS", None),
        ("sr-Cyrl", "sr-Cyrl", "srp_Cyrl"),
        ("ko-Kore", "ko-Kore", "kor_Hang"),
        # Codes of ISO 639-2, current and former, of languages that have a shorter one.
        ("nor", "no", "nob_Latn"),
        ("kur", "ku", "kmr_Latn"),
        ("kas_Arab", "ks", "kas_Arab"),
        ("kas-Deva", "ks-Deva", "kas_Deva"),
        ("scr", "hr", "hrv_Latn"),
        ("scc-RS", "sr-RS", "srp_Cyrl"),
        ("mol", "ro", "ron_Latn"),
        # Tags of before RFC 4646, and names that Microsoft gave to scripts.
        ("i-lux", "lb", "ltz_Latn"),
        ("no-nyn", "nn", "nno_Latn"),
        ("en_GB_oed", "en-GB-oxendict", "eng_Latn"),
        ("zh-CHS", "zh-Hans", "zho_Hans"),
        ("zh_CHT", "zh-Hant", "zho_Hant"),
        ("en_UK", "en-GB", "eng_Latn"),
        # Further languages are those that the registry knows behind their first one.
        ("zho-yue-HK", "yue-HK", "yue_Hant"),
        ("ar-arz", "arz", "arz_Arab"),
        # Locales of any codeset.
        ("ja_JP.SJIS", "ja-JP", "jpn_Jpan"),
        ("zh_HK.BIG5-HKSCS", "zh-HK", "zho_Hant"),
        ("en_US.ANSI_X3.4-1968", "en-US", "eng_Latn"),
        ("ca_ES.UTF-8@valencia", "ca-ES-valencia", "cat_Latn"),
        ("sr_RS@Latn", "sr-Latn-RS", None),
    ],
)
def test_every_spelling_of_a_tag_has_one_form(given: str, stored: str, flores: str | None) -> None:
    found = language(given)
    assert (canonical_tag(given), found.tag, found.flores) == (stored, stored, flores)


@pytest.mark.parametrize(
    "text", ["", "english", "C", "C.UTF-8", "POSIX", "dog.old", "e", "12", "pt BR", "en@pirate", "x-klingon"]
)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a BCP 47 tag such as"):
        canonical_tag(text)


@pytest.mark.parametrize("text", ["pt-BRA", "en_USA", "zh-CHN", "ar-EGY", "es-pt-BRA"])
def test_a_country_is_not_taken_for_a_language(text: str) -> None:
    # "bra" is Braj and "chn" Chinook: behind another language both would be what nobody meant.
    with pytest.raises(ValueError, match="a BCP 47 tag such as"):
        canonical_tag(text)


SUBTAGS = st.sampled_from(
    (
        *("en", "pt", "zh", "cmn", "iw", "no", "fil", "eng", "ger", "por", "zho", "mo", "yue", "Latn"),
        *(
            "Hant",
            "CYRL",
            "BR",
            "tw",
            "419",
            "valencia",
            "1996",
            "x",
            "u-co-phonebk",
            "UK",
            "nor",
            "kas",
            "CHS",
        ),
    )
)
ENDS = st.sampled_from(["", ".utf8", "@latin", "@valencia"])


@given(st.lists(SUBTAGS, min_size=1, max_size=5), st.sampled_from("-_"), ENDS)
def test_the_form_of_a_form_is_itself(subtags: list[str], separator: str, end: str) -> None:
    try:
        stored = canonical_tag(separator.join(subtags) + end)
    except ValueError:
        return
    assert canonical_tag(stored) == stored
