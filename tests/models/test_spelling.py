from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_duals import small_config

from dragoman.errors import UserError
from dragoman.models.text.spelling import SmallTextConfig, Spelling, fit_pieces, pieces, read, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog's ball.", ["A", "dog's", "ball", "."]),
        ("l’homme d'or", ["l’homme", "d'or"]),
        ("Um cão, à praia!", ["Um", "cão", ",", "à", "praia", "!"]),
        ("pôr-do-sol", ["pôr", "-", "do", "-", "sol"]),
        ("3 cães e 1.5 m", ["3", "cães", "e", "1", ".", "5", "m"]),
        ("一只狗runs快", ["一", "只", "狗", "runs", "快"]),
        ("いぬ と イヌ", ["い", "ぬ", "と", "イ", "ヌ"]),
        ("كلب يجري على الشاطئ", ["كلب", "يجري", "على", "الشاطئ"]),
        ("كَلْبٌ", ["كَلْبٌ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("দুটি কুকুর", ["দুটি", "কুকুর"]),
        ("می\u200cشود", ["می\u200cشود"]),
        ("หมา", ["ห", "ม", "า"]),
        ("🐶🐶 dog", ["🐶", "🐶", "dog"]),
        (" \t\n\u00a0", []),
        ("", []),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_accents_are_kept_however_they_are_encoded() -> None:
    composed, decomposed = "cão à cafe\u0301", unicodedata.normalize("NFD", "cão à café")
    assert words(composed) == words(decomposed) == ["cão", "à", "café"]
    assert words("cao") != words("cão")


@given(st.text(max_size=40))
def test_no_letter_is_lost(text: str) -> None:
    joined = "".join(words(text))
    assert [c for c in unicodedata.normalize("NFC", text) if not c.isspace()] == list(joined)


def test_pieces_are_the_bounded_word_and_its_ngrams() -> None:
    assert pieces("um", 3, 3) == ["<um>", "<um", "um>"]
    assert pieces("um", 3, 5) == ["<um>", "<um", "um>"]
    assert pieces("cão", 3, 4) == ["<cão>", "<cã", "cão", "ão>", "<cão", "cão>"]
    assert pieces("", 3, 5) == ["<>"]


def test_characters_of_unspaced_scripts_bring_their_followers_along() -> None:
    config = SmallTextConfig()
    assert read("一只狗 runs 快", config) == ["一只", "只狗", "狗", "runs", "快"]
    assert read("ねこ。", config) == ["ねこ", "こ", "。"]
    assert pieces("只狗", 3, 5) == ["<只>", "只狗"]
    assert pieces("狗", 3, 5) == ["<狗>"]


def test_the_vocabulary_counts_running_words() -> None:
    config = small_config(shortest=3, longest=3, min_count=2)
    # um: 3 running words; uma: 1. "<um" stands in all four.
    assert fit_pieces(["um um", "um uma"], config) == ["<um", "<um>", "um>"]
    assert fit_pieces([], config) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shortest": 6}, "n-grams need 1 <= shortest <= longest, got 6 and 5"),
        ({"width": 15}, "width 15 must be a multiple of heads 2"),
        ({"piece_dropout": 1.0}, r"piece_dropout must lie in \[0, 1\), got 1.0"),
        ({"max_words": 0}, "max_words must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_config(**setting)


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    config = SmallTextConfig()
    texts = ["a black dog", "der Hund auf der Straße", "ο μαύρος σκύλος", "ışık", "сабака", "Ｔ恤 狗", "NASA"]
    return Spelling(config, fit_pieces(texts * 2, config))


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("black", ["black"]),
        ("BLACK", ["black"]),
        ("Black", ["black"]),
        # Of ordinary texts every model was trained on the pieces of such a word.
        ("hund", ["hund"]),
        ("Black dogs running", ["Black", "dogs", "running"]),
        ("A Black Dog", ["a", "black", "dog"]),
        ("Black Dog on a Hund", ["black", "dog", "on", "a", "Hund"]),
        ("HUND", ["Hund"]),
        ("STRASSE", ["Straße"]),
        ("Nasa", ["NASA"]),
        # Capitals lose the accents in Greek, and the dots in Turkish say which letter it is.
        ("ΣΚΥΛΟΣ", ["σκύλος"]),
        ("IŞIK", ["ışık"]),
        ("САБАКА", ["сабака"]),
        ("ｂｌａｃｋ", ["black"]),
        ("ＢＬＡＣＫ", ["black"]),
        ("𝐛𝐥𝐚𝐜𝐤", ["black"]),
        ("bla\u00adck", ["black"]),
        # What the vocabulary holds is read as it stands, and so is what nothing in it is like.
        ("Ｔ", ["Ｔ"]),
        ("cat", ["cat"]),
        ("Blackish", ["Blackish"]),
        ("BLACKISH", ["blackish"]),
        ("BLACKİSH", ["blackish"]),
        ("Skylos", ["Skylos"]),
        ("", [""]),
    ],
)
def test_a_word_is_read_as_the_known_one_in_other_letters(
    spelling: Spelling, typed: str, known: list[str]
) -> None:
    rows = [spelling.rows(word) for word in known]
    found = spelling.prepare([typed])
    ends = np.cumsum(found["sizes"])
    read_rows = [list(part) for part in np.split(found["pieces"], ends[:-1])]
    # Two words may be read by the same pieces.
    assert [read_rows[word] for word in found["words"][0]] == rows


# Each as a vocabulary may hold it, and as others type it.
SPELLINGS = [
    *[("the dog's ball", f"the dog{sign}s ball") for sign in "’ʼ‘´`′＇"],
    *[("l’homme court", "l'homme court"), ("the dog's ball", "THE DOG’S BALL"), ("צ'יפס", "צ׳יפס")],
    *[('a "black" dog', "a “black” dog"), ('a "black" dog', "a «black» dog"), ('צה"ל בשדה', "צה״ל בשדה")],
    *[("a well-known dog", f"a well{sign}known dog") for sign in "‐‑–−"],
    *[("the black dog", "the 'black' dog"), ("the black dog", "the ‘black’ dog"), ("black dog", "black_dog")],
    *[("black dog", "ⓑⓛⓐⓒⓚ ⓓⓞⓖ"), ("👍 dog", "👍🏽 dog"), ("❤ dog", "❤\ufe0e dog"), ("route 66", "route ٦٦")],
    # Arabic that is stretched, with vowels, and of other keyboards; Persian with and without joiners.
    *[
        ("كلب أسود", "كـــلب أسـود"),
        ("كلب أسود", "كَلْبٌ أَسْوَدُ"),
        ("كلب أسود", "كلب اسود"),
        ("یک سگ سیاه", "يك سگ سياه"),
    ],
    *[
        ("می\u200cرود خانه", "میرود خانه"),
        ("क्षमा", "क्\u200dषमा"),
        ("അവൻ", "അവന്\u200d"),
        ("כלב שחור", "כֶּלֶב שָׁחוֹר"),
    ],
    *[("น้ำตก", "น้\u0e4d\u0e32ตก"), ("น้ำตก", "น\u0e4d้\u0e32ตก"), ("ນ້ຳ", "ນ້\u0ecd\u0eb2")],
    *[("ο σκύλος", "ο σκύλοσ"), ("iki kız ışık", "İki Kız Işık"), ("ljeto", "ǈeto"), ("și ține", "şi ţine")],
    *[
        ("ein großer Hund", "ein grosser Hund"),
        ("un cœur", "un coeur"),
        ("чёрный щенок", "черный щено\u0301к"),
    ],
]


@pytest.mark.parametrize(("held", "typed"), SPELLINGS)
def test_a_word_in_another_spelling_is_read_as_the_known_one(held: str, typed: str) -> None:
    config = SmallTextConfig()
    spelling = Spelling(config, fit_pieces([held] * 2, config))
    expected, found = spelling.prepare([held]), spelling.prepare([typed])
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in expected.items()
    }


def test_a_spelling_that_a_vocabulary_holds_is_read_as_itself() -> None:
    config = SmallTextConfig()
    texts = ["dog’s dog's", "كلب كـلب", '“ "', "grosser großer"]
    spelling = Spelling(config, fit_pieces(texts * 2, config))
    for one, other in map(str.split, texts):
        assert spelling.prepare([one])["pieces"].tolist() != spelling.prepare([other])["pieces"].tolist()


def test_what_is_stretched_is_read_by_the_pieces_of_what_is_written() -> None:
    config = SmallTextConfig()
    spelling = Spelling(config, fit_pieces(["كلبها الكبير"] * 2, config))
    assert (
        spelling.prepare(["الكبــيرة"])["pieces"].tolist() == spelling.prepare(["الكبيرة"])["pieces"].tolist()
    )


def test_a_text_is_read_where_a_piece_of_it_is_known(spelling: Spelling) -> None:
    texts = ["a dog", "a 🐶", "🐶", "12", "⠀", "дом", "сабачка", "狗", "?!", "", "BLACK"]
    assert spelling.reads(texts) == [True, True, *[False] * 4, True, True, False, False, True]


def test_what_the_authors_throw_away_is_thrown_away() -> None:
    text = "Um cão, À-praia: “não?” (2) sol/mar Йога"
    cases: list[tuple[dict[str, bool], str]] = [
        ({"strip_accents": True}, "Um cao , A - praia : “ nao ? ” ( 2 ) sol / mar Иога"),
        ({"strip_punctuation": True}, "Um cão À praia “ não ” 2 sol mar Йога"),
        ({"lowercase": True, "strip_accents": True}, "um cao , a - praia : “ nao ? ” ( 2 ) sol / mar иога"),
    ]
    for settings, expected in cases:
        for form in ("NFC", "NFD"):
            found = read(unicodedata.normalize(form, text), SmallTextConfig(**settings))  # type: ignore[arg-type]
            assert " ".join(found) == expected
    assert read("?!", SmallTextConfig(strip_punctuation=True)) == []


def test_a_vocabulary_says_what_it_throws_away_where_it_does(tmp_path: Path) -> None:
    for settings in ({}, {"lowercase": True, "strip_accents": True, "strip_punctuation": True}):
        config = small_config(**settings)
        spelling = Spelling(config, fit_pieces(["Um cão!"], config))
        spelling.save(tmp_path)
        stored = json.loads((tmp_path / "ngrams.json").read_text("utf-8"))["config"]
        assert ("strip_accents" in stored, "strip_punctuation" in stored) == (bool(settings), bool(settings))
        assert Spelling.load(tmp_path).config == config
        same = spelling.rows("cão") == Spelling.load(tmp_path).rows("cão")
        assert same
    # The same words for the model, however they are written.
    rows = [spelling.prepare([text])["pieces"].tolist() for text in ("um cao", "UM, CÃO!")]
    assert rows[0] == rows[1] and 0 not in rows[0]
