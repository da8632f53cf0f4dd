"""Every signal against a value worked out by hand."""

from __future__ import annotations

import sys

import pytest

from dragoman.errors import MissingExtraError
from dragoman.trust import signals
from dragoman.trust.aids import language_identifier


def test_round_trip_is_sentence_chrf_between_0_and_1() -> None:
    # One of two letters agrees (precision and recall 1/2), no pair does: the means are 1/4, and so is F2.
    assert signals.round_trip("ac", "ab") == pytest.approx(0.25)
    assert signals.round_trip("a dog runs", "a dog runs") == pytest.approx(1)
    assert signals.round_trip("ab", "xy") == 0


def test_without_a_back_translation_there_is_no_round_trip() -> None:
    assert signals.round_trip("a dog", None) is None


def test_recovered_gives_no_credit_for_words_that_were_never_translated() -> None:
    # "spotted" went through as it was, and what is left of the way back is "a dog".
    source, text, back = "a spotted dog", "um cão Spotted", "a spotted dog"
    assert signals.round_trip(source, back) == pytest.approx(1)
    assert signals.recovered(source, text, back) == pytest.approx(signals.round_trip(source, "a dog"))
    # Numbers and single letters are the same in most languages.
    assert signals.recovered("a 2 dog", "a 2 cão", "a 2 dog") == pytest.approx(1)
    assert signals.recovered("A dog.", "um cão", "a dog") == pytest.approx(1)


def test_a_copied_source_recovers_nothing_and_without_a_way_back_there_is_no_value() -> None:
    assert signals.recovered("two dogs run", "two dogs run", "two dogs run") == 0
    assert signals.recovered("a dog", "um cão", None) is None


def test_known_is_the_share_of_words_in_the_list_but_for_names_and_numbers() -> None:
    # Judged are um, cão, salta, no, frisbees; the last is not in the list.
    text = "Um cão salta no Rio 3 frisbees"
    assert signals.known("A dog in Rio", text, {"um", "cão", "salta", "no"}) == pytest.approx(4 / 5)
    assert signals.known("Rio dogs", "Rio", {"um"}) == 0
    assert signals.known("a dog", "狗 3", {"um"}) is None


def test_agreement_is_the_mean_over_the_other_engines() -> None:
    assert signals.agreement("ab", ["ac", "ab"]) == pytest.approx((0.25 + 1) / 2)
    assert signals.agreement("ab", []) is None


def test_length_ratio_counts_letters_and_digits_only() -> None:
    assert signals.length_ratio("a dog .", "um cão !") == pytest.approx(5 / 4)
    assert signals.length_ratio("a dog", "") == 0
    assert signals.length_ratio("...", "um") is None


def test_copied_leaves_out_names_numbers_and_single_letters() -> None:
    # Judged are um, homem, no, com, frisbees; only the last stands in the source.
    text = "Um homem no Rio com 3 frisbees a"
    assert signals.copied("A man in Rio with 3 frisbees", text) == pytest.approx(1 / 5)


def test_the_first_word_of_the_source_is_no_name() -> None:
    assert signals.copied("Frisbees fly", "frisbees voam") == pytest.approx(1 / 2)


def test_copied_judges_every_character_of_a_script_without_spaces() -> None:
    assert signals.copied("a dog playing ouside", "狗玩ouside") == pytest.approx(1 / 3)


def test_nothing_to_judge_is_nothing_copied() -> None:
    assert signals.copied("3 cats", "3 !") == 0


def test_a_copied_source_is_copied_whole() -> None:
    assert signals.copied("a dog runs", "a dog runs") == 1


def test_repetition_counts_pairs_of_neighbours_beyond_those_of_the_source() -> None:
    assert signals.repetition("one two three", "la la la la") == pytest.approx(2 / 3)
    # The source itself repeats one of its three pairs.
    assert signals.repetition("ha ho ha ho", "la la la la") == pytest.approx(2 / 3 - 1 / 3)
    assert signals.repetition("la la la la", "one two three") == 0
    assert signals.repetition("one", "um") == 0


@pytest.mark.parametrize(
    ("lang", "text", "share"),
    [
        ("pt", "Um cão, 3 gatos!", 1),
        ("uk", "кiт", 2 / 3),
        ("uk", "кiт біжить", (2 / 3 + 1) / 2),
        ("zh", "穿dress的女孩", 4 / 5),
        ("zh-Hant", "女孩", 1),
        ("ja", "犬がカ", 1),
        ("ko", "소녀", 1),
        ("ar", "كلب", 1),
        ("sr", "dečak", 1),
        ("sr-Cyrl", "dečak", 0),
        ("pt", "123 !", None),
        ("qqq", "um cão", None),
    ],
)
def test_script_is_the_share_of_letters_in_a_script_of_the_language(
    lang: str, text: str, share: float | None
) -> None:
    expected = None if share is None else pytest.approx(share)
    assert signals.script(lang, text) == expected


def test_words_keep_case_and_split_scripts_without_spaces_into_characters() -> None:
    assert signals.words("A man's well-lit dog.") == ["A", "man", "s", "well", "lit", "dog"]
    assert signals.words("红色dress 的") == ["红", "色", "dress", "的"]
    assert signals.words("हिन्दी में") == ["हिन्दी", "में"]


def test_language_is_the_probability_among_the_given_languages() -> None:
    pytest.importorskip("lingua")
    identify = language_identifier(["en", "pt-BR", "gl"])
    right, wrong = identify("pt-BR", ["Um menino está a correr na praia", "A boy is running on the beach"])
    assert right is not None and wrong is not None
    assert right > 0.9 and wrong < 0.1
    other = identify("en", ["Um menino está a correr na praia"])[0]
    assert other == pytest.approx(1 - right)


def test_a_language_unknown_to_the_detector_has_no_language_signal() -> None:
    pytest.importorskip("lingua")
    assert language_identifier(["en", "pt", "gl"])("gl", ["Un neno", "Unha nena"]) == [None, None]


def test_one_known_language_leaves_nothing_to_choose() -> None:
    pytest.importorskip("lingua")
    assert language_identifier(["pt", "gl"])("pt", ["Um menino"]) == [None]


def test_a_missing_lingua_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dragoman\[langid\]'"):
        language_identifier(["en", "pt"])
