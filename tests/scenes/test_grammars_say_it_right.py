"""Sentences written by hand, against everything that a grammar can say of a plan."""

# ruff: noqa: E501 - one plan a row, whatever its length
from __future__ import annotations

import re

import pytest
from every_caption import every_caption, some

from dragoman.errors import UserError
from dragoman.scenes.captioner import CaptionPlan
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption, languages
from dragoman.scenes.scene import COLOURS, COUNTS, GROUNDS, KINDS, PLACES, RELATIONS, SIZES

TWO_RED_CHAIRS = CaptionPlan(first=some(2, "chair", "red"))
A_WHITE_HOUSE = CaptionPlan(first=some(1, "house", "white"))
SMALL_STARS = CaptionPlan(first=some(3, "star", size="small", exact=False))
A_BLACK_CHAIR_AND_TWO_BOOKS = CaptionPlan(first=some(1, "chair", "black"), second=some(2, "book"))

# The complete list of what may be said; anything more or less fails.
COMPLETE = [
    ("en", TWO_RED_CHAIRS, "Two red chairs|There are two red chairs.|A picture of two red chairs|We see two red chairs."),
    ("en", CaptionPlan(first=some(1, "apple")), "An apple|There is an apple.|A picture of an apple|We see an apple."),
    ("en", CaptionPlan(first=some(1, "umbrella", "orange")), "An orange umbrella|There is an orange umbrella.|A picture of an orange umbrella|We see an orange umbrella."),
    ("es", TWO_RED_CHAIRS, "Dos sillas rojas|Hay dos sillas rojas.|Se ven dos sillas rojas.|Una foto de dos sillas rojas"),
    ("es", A_WHITE_HOUSE, "Una casa blanca|Hay una casa blanca.|Se ve una casa blanca.|Una foto de una casa blanca"),
    ("es", CaptionPlan(first=some(2, "fish", "blue")), "Dos peces azules|Hay dos peces azules.|Se ven dos peces azules.|Una foto de dos peces azules"),
    ("pt", TWO_RED_CHAIRS, "Duas cadeiras vermelhas|Há duas cadeiras vermelhas.|Veem-se duas cadeiras vermelhas.|Uma foto de duas cadeiras vermelhas"),
    ("pt", CaptionPlan(first=some(2, "hat", "blue")), "Dois chapéus azuis|Há dois chapéus azuis.|Veem-se dois chapéus azuis.|Uma foto de dois chapéus azuis"),
    ("pt", CaptionPlan(first=some(3, "umbrella", "white")), "Três guarda-chuvas brancos|Há três guarda-chuvas brancos.|Veem-se três guarda-chuvas brancos.|Uma foto de três guarda-chuvas brancos"),
    ("gl", CaptionPlan(first=some(2, "chair", "yellow")), "Dúas cadeiras amarelas|Hai dúas cadeiras amarelas.|Vense dúas cadeiras amarelas.|Unha foto de dúas cadeiras amarelas"),
    ("gl", CaptionPlan(first=some(1, "apple", "green")), "Unha mazá verde|Hai unha mazá verde.|Vese unha mazá verde.|Unha foto dunha mazá verde"),
    ("gl", CaptionPlan(first=some(1, "book", "black")), "Un libro negro|Hai un libro negro.|Vese un libro negro.|Unha foto dun libro negro"),
    ("de", TWO_RED_CHAIRS, "Zwei rote Stühle|Hier sind zwei rote Stühle.|Man sieht zwei rote Stühle.|Ein Bild von zwei roten Stühlen"),
    ("de", CaptionPlan(first=some(1, "apple", "green")), "Ein grüner Apfel|Hier ist ein grüner Apfel.|Man sieht einen grünen Apfel.|Ein Bild von einem grünen Apfel"),
    ("de", CaptionPlan(first=some(1, "flower", "red", "small")), "Eine kleine rote Blume|Hier ist eine kleine rote Blume.|Man sieht eine kleine rote Blume.|Ein Bild von einer kleinen roten Blume"),
    ("de", A_WHITE_HOUSE, "Ein weißes Haus|Hier ist ein weißes Haus.|Man sieht ein weißes Haus.|Ein Bild von einem weißen Haus"),
    ("de", SMALL_STARS, "Einige kleine Sterne|Hier sind einige kleine Sterne.|Man sieht einige kleine Sterne.|Ein Bild von einigen kleinen Sternen"),
    ("fr", TWO_RED_CHAIRS, "Deux chaises rouges|Il y a deux chaises rouges.|On voit deux chaises rouges.|Une photo de deux chaises rouges"),
    ("fr", A_WHITE_HOUSE, "Une maison blanche|Il y a une maison blanche.|On voit une maison blanche.|Une photo d'une maison blanche"),
    (
        "fr",
        SMALL_STARS,
        "De petites étoiles|Il y a de petites étoiles.|On voit de petites étoiles.|Une photo de petites étoiles|"
        "Quelques petites étoiles|Il y a quelques petites étoiles.|On voit quelques petites étoiles.|"
        "Une photo de quelques petites étoiles|Plusieurs petites étoiles|Il y a plusieurs petites étoiles.|"
        "On voit plusieurs petites étoiles.|Une photo de plusieurs petites étoiles",
    ),
    ("zh", CaptionPlan(first=some(2, "hat", "orange")), "两顶橙色的帽子|两顶橘色的帽子|图中有两顶橙色的帽子。|图中有两顶橘色的帽子。|一张两顶橙色的帽子的照片|一张两顶橘色的帽子的照片"),
    ("zh", CaptionPlan(first=some(1, "flower", "red", "small")), "一朵红色的小花|一朵小红花|图中有一朵红色的小花。|图中有一朵小红花。|一张一朵红色的小花的照片|一张一朵小红花的照片"),
    ("ar", CaptionPlan(first=some(1, "ball", "red")), "كرة حمراء|هناك كرة حمراء|صورة لكرة حمراء"),
    ("ar", CaptionPlan(first=some(2, "ball", "red")), "كرتان حمراوان|هناك كرتان حمراوان|صورة لكرتين حمراوين"),
    ("ar", CaptionPlan(first=some(3, "ball", "red")), "ثلاث كرات حمراء|هناك ثلاث كرات حمراء|صورة لثلاث كرات حمراء"),
    ("ar", CaptionPlan(first=some(2, "book", "white")), "كتابان أبيضان|هناك كتابان أبيضان|صورة لكتابين أبيضين"),
    ("ar", CaptionPlan(first=some(3, "book", "white")), "ثلاثة كتب بيضاء|هناك ثلاثة كتب بيضاء|صورة لثلاثة كتب بيضاء"),
    ("ar", CaptionPlan(first=some(2, "hat", size="big")), "قبعتان كبيرتان|هناك قبعتان كبيرتان|صورة لقبعتين كبيرتين"),
    ("ar", CaptionPlan(first=some(2, "chair", "brown")), "كرسيان بنيان|هناك كرسيان بنيان|صورة لكرسيين بنيين"),
    ("ar", A_BLACK_CHAIR_AND_TWO_BOOKS, "كرسي أسود وكتابان|هناك كرسي أسود وكتابان|صورة لكرسي أسود وكتابين"),
]  # fmt: skip

CHAIR_LEFT_OF_A_HOUSE = CaptionPlan(
    first=some(1, "chair", "red"), second=some(1, "house", "white"), relation="left", ground="beach"
)
STAR_UNDER_TWO_TREES = CaptionPlan(first=some(1, "star"), second=some(2, "tree", "green"), relation="below")
BOOK_IN_A_ROOM = CaptionPlan(first=some(1, "book", "blue"), ground="room", place="top")
TREES_AND_APPLES = CaptionPlan(
    first=some(3, "tree"), second=some(2, "apple", "green", "big"), relation="right"
)
CHAIRS_IN_SNOW = CaptionPlan(first=some(2, "chair", "black"), ground="snow")

# Sentences that must be among those that can be said.
SAID = [
    ("en", CHAIR_LEFT_OF_A_HOUSE, "A red chair to the left of a white house on the beach"),
    ("en", CHAIR_LEFT_OF_A_HOUSE, "On the beach to the left of a white house there is a red chair."),
    ("en", CHAIRS_IN_SNOW, "In the snow there are two black chairs."),
    ("es", CHAIR_LEFT_OF_A_HOUSE, "Hay una silla roja a la izquierda de una casa blanca en la playa."),
    ("es", CHAIRS_IN_SNOW, "En la nieve se ven dos sillas negras."),
    ("es", TREES_AND_APPLES, "Tres árboles a la derecha de dos grandes manzanas verdes"),
    ("es", CaptionPlan(first=some(1, "apple", size="big")), "Una gran manzana"),
    ("es", CaptionPlan(first=some(2, "bird", size="small")), "Dos pajaritos"),
    ("es", CaptionPlan(first=some(2, "house", "orange")), "Dos casas de color naranja"),
    ("pt", CHAIR_LEFT_OF_A_HOUSE, "Na praia à esquerda de uma casa branca tem uma cadeira vermelha."),
    ("pt", BOOK_IN_A_ROOM, "Um livro azul no alto num quarto"),
    ("pt", CaptionPlan(first=some(1, "house", "white", "small")), "Uma casinha branca"),
    ("pt", CHAIRS_IN_SNOW, "Na neve veem-se duas cadeiras pretas."),
    ("gl", CHAIR_LEFT_OF_A_HOUSE, "Na praia á esquerda dunha casa branca hai unha cadeira vermella."),
    ("gl", BOOK_IN_A_ROOM, "Un libro azul na parte superior nun cuarto"),
    ("gl", STAR_UNDER_TWO_TREES, "Hai unha estrela debaixo de dúas árbores verdes."),
    ("gl", CaptionPlan(first=some(2, "book", size="big"), place="centre"), "Dous grandes libros no medio"),
    ("de", CHAIR_LEFT_OF_A_HOUSE, "Am Strand links neben einem weißen Haus sieht man einen roten Stuhl."),
    ("de", STAR_UNDER_TWO_TREES, "Ein Stern unter zwei grünen Bäumen"),
    ("de", TREES_AND_APPLES, "Drei Bäume rechts von zwei großen grünen Äpfeln"),
    ("de", CaptionPlan(first=some(3, "car", "pink"), ground="street"), "Auf der Straße sind drei rosa Autos."),
    ("de", CaptionPlan(first=some(2, "car", "blue")), "Ein Bild von zwei blauen Autos"),
    ("de", CaptionPlan(first=some(2, "flower", "blue")), "Ein Bild von zwei blauen Blumen"),
    ("de", A_BLACK_CHAIR_AND_TWO_BOOKS, "Ein Bild von einem schwarzen Stuhl und zwei Büchern"),
    ("fr", CHAIR_LEFT_OF_A_HOUSE, "Sur la plage à gauche d'une maison blanche, il y a une chaise rouge."),
    ("fr", STAR_UNDER_TWO_TREES, "Une étoile sous deux arbres verts"),
    ("fr", TREES_AND_APPLES, "Il y a trois arbres à droite de deux grosses pommes vertes."),
    ("fr", CaptionPlan(first=some(2, "car", "brown")), "Deux voitures marron"),
    ("fr", CaptionPlan(first=some(1, "star"), second=some(3, "bird", exact=False), relation="above"), "Une étoile au-dessus d'oiseaux"),
    ("zh", CHAIR_LEFT_OF_A_HOUSE, "沙滩上，一座白色的房子的左边有一把红色的椅子。"),
    ("zh", BOOK_IN_A_ROOM, "房间里的上方有一本蓝色的书。"),
    ("zh", CaptionPlan(first=some(3, "fish", "black")), "三条黑鱼"),
    ("zh", CaptionPlan(first=some(3, "car", exact=False), ground="street"), "街上有几辆汽车。"),
    ("zh", CaptionPlan(first=some(3, "tree", exact=False)), "图中有一些树。"),
    ("ar", CHAIR_LEFT_OF_A_HOUSE, "كرسي أحمر على يسار بيت أبيض على الشاطئ"),
    ("ar", STAR_UNDER_TWO_TREES, "نجمة تحت شجرتين خضراوين"),
    ("ar", TREES_AND_APPLES, "ثلاث أشجار على يمين تفاحتين خضراوين كبيرتين"),
    ("ar", CHAIRS_IN_SNOW, "هناك كرسيان أسودان في الثلج"),
    ("ar", CaptionPlan(first=some(3, "car", exact=False)), "عدة سيارات"),
]  # fmt: skip


@pytest.mark.parametrize(("lang", "plan", "sentences"), COMPLETE)
def test_a_grammar_says_exactly_this(lang: str, plan: CaptionPlan, sentences: str) -> None:
    assert every_caption(lang, plan) == set(sentences.split("|"))


@pytest.mark.parametrize(("lang", "plan", "sentence"), SAID)
def test_a_grammar_can_say_this(lang: str, plan: CaptionPlan, sentence: str) -> None:
    assert sentence in every_caption(lang, plan)


def test_a_diminutive_is_never_said_of_something_big() -> None:
    for lang, diminutive in [("pt", "barquinho"), ("es", "pajarito"), ("gl", "casiña")]:
        kind = {"pt": "boat", "es": "bird", "gl": "house"}[lang]
        assert any(
            diminutive in text.lower()
            for text in every_caption(lang, CaptionPlan(first=some(1, kind, size="small")))
        )
        for size in ("big", None):
            plan = CaptionPlan(first=some(1, kind, size=size))
            assert not any(diminutive in text.lower() for text in every_caption(lang, plan))


@pytest.mark.parametrize("lang", languages())
def test_every_fact_has_words_in_every_language(lang: str) -> None:
    for kind in KINDS:
        for colour, size, count in zip(COLOURS * 2, SIZES * 10, COUNTS * 7, strict=False):
            for exact in (True, count < 3):
                plan = CaptionPlan(first=some(count, kind, colour, size, exact))
                for text in [caption(lang, plan, Draws(number)) for number in range(3)]:
                    assert re.fullmatch(r"\S+( \S+)*", text), text
                    assert not re.search(r"[{}_<]|None", text), text
    for ground in GROUNDS:
        for place in PLACES:
            assert every_caption(lang, CaptionPlan(first=some(1, "star"), ground=ground, place=place))
        for relation in RELATIONS:
            plan = CaptionPlan(
                first=some(1, "star"), second=some(2, "book"), relation=relation, ground=ground
            )
            assert caption(lang, plan, Draws(0))


@pytest.mark.parametrize("lang", languages())
def test_captioners_differ(lang: str) -> None:
    plan = CaptionPlan(first=some(2, "boat", "red", "small"), place="left", ground="beach")
    assert len({caption(lang, plan, Draws(number)) for number in range(40)}) >= 10


def test_an_unknown_language_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"No caption grammar 'xx'. Known: ar, de, en, es, fr, gl, pt, zh"):
        caption("xx", A_WHITE_HOUSE, Draws(0))
