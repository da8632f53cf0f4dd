"""Texts as people type them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.texts import legible, spelled, unformed, visible, worded


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a \u200bdog", "a dog"),
        ("\ufeffa dog", "a dog"),
        ("run\u00adning", "running"),
        ("\u200fa\u202a dog\u202c\u2069", "a dog"),
        ("do\u2060g\u180b", "dog"),
        ("\u3164\u115f", ""),
        ("do\u200cg\u200d", "dog"),
        ("cafe\u034f\u0301", "café"),
        ("cafe\u0301", "café"),
        ("葛\U000e0100", "葛"),
        # Persian "goes", and a Devanagari half form: without the joiner they are other words.
        ("می\u200cشود", "می\u200cشود"),
        ("می\u200c شود", "می شود"),
        ("क्\u200dष", "क्\u200dष"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("1\ufe0f⃣", "1\ufe0f⃣"),
        ("a\ufe0f", "a"),
        ("👩\u200d❤\ufe0f\u200d👨", "👩\u200d❤\ufe0f\u200d👨"),
    ],
)
def test_what_cannot_be_seen_is_taken_away(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ａ　ｂｌａｃｋ　ｄｏｇ", "a　black　dog"),
        ("𝐛𝐥𝐚𝐜𝐤 𝒹ℴℊ", "black dog"),
        ("ﬁsh", "fish"),
        ("ｲﾇ ｶﾞ", "イヌ ガ"),
        ("ﻛﻠﺐ", "كلب"),
        ("ⓓⓞⓖ", "dog"),
        ("ᵈᵒᵍ", "dog"),
        ("Waſſer, le 1ᵉʳ mai", "Wasser, le 1er mai"),
        # Ordinary in their languages, and known to models.
        ("Ｔシャツを着た人", "Ｔシャツを着た人"),
        ("，你好！", "，你好！"),
        ("ทำ", "ทำ"),
        ("1º m² ½ … ™", "1º m² ½ … ™"),
        ("A BLACK DOG", "a black dog"),
        ("ELEPHANT", "elephant"),
        ("ЧЁРНАЯ СОБАКА", "чёрная собака"),
        ("İSTANBUL", "istanbul"),
        ("NASA", "NASA"),
        ("TシャツをきたHITO", "TシャツをきたHITO"),
        ("A Black Dog", "A Black Dog"),
        # What telephones and word processors make of an apostrophe, and Arabic that is stretched.
        ("the dog’s ball, l´homme", "the dog's ball, l'homme"),
        ("‘a dog’ 5’", "‘a dog’ 5’"),
        ("كـــلب", "كلب"),
    ],
)
def test_a_model_is_given_plain_letters(text: str, plain: str) -> None:
    assert legible(text) == plain


# Letters of every kind, and often what this is about.
TYPED = st.text(
    st.characters(codec="utf-8")
    | st.sampled_from(
        "’ـةيёßൻשָ٣\u200b\u200c\u200d\u034f\ufe0e\ufe0f\u0301\u3164\u0627\u0645\u0915\u094d👩❤1aAＡｂﬁİ "
    ),
    max_size=12,
)


@given(TYPED)
@pytest.mark.parametrize("fold", [visible, unformed, legible, spelled])
def test_the_form_of_a_form_is_itself(fold: object, text: str) -> None:
    assert callable(fold)
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(codec="utf-8", categories=("Lu", "Ll", "Nd", "Zs", "Po")), max_size=20))
def test_what_can_be_seen_is_only_composed(text: str) -> None:
    assert visible(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "has"), [("?!…", False), (" ", False), ("🐶", True), ("12", True), ("ı", True)]
)
def test_punctuation_alone_is_no_word(text: str, has: bool) -> None:
    assert worded(text) is has
