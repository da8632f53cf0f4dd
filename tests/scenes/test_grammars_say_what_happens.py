"""Sentences about events written by hand, against everything that a grammar can say of a plan."""

# ruff: noqa: E501 - one plan a row, whatever its length
from __future__ import annotations

import importlib
import itertools
import re

import pytest
from every_caption import every_caption, some

from dragoman.scenes.captioner import CaptionPlan, draw_clip_plan
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption, languages
from dragoman.scenes.scene import EVENTS, OF_TWO, REVERSED, distinct_clips, reversed_clip

A_BOOK_GOES_LEFT = CaptionPlan(first=some(1, "book", "red"), event="left")
TWO_CHAIRS_APPEAR = CaptionPlan(first=some(2, "chair", "red"), event="appear")
A_BOOK_AND_A_CHAIR_PART = CaptionPlan(first=some(1, "book"), second=some(1, "chair"), event="part")

# The complete list of what may be said; anything more or less fails.
COMPLETE = [
    ("en", A_BOOK_GOES_LEFT, "A red book moves to the left.|A red book moves left.|A red book goes from right to left.|A clip in which a red book moves to the left|A clip in which a red book moves left|A clip in which a red book goes from right to left"),
    ("en", TWO_CHAIRS_APPEAR, "Two red chairs appear.|Two red chairs appear out of nowhere.|A clip in which two red chairs appear|A clip in which two red chairs appear out of nowhere"),
    ("en", A_BOOK_AND_A_CHAIR_PART, "A book and a chair part.|A book and a chair move apart.|A book and a chair move away from each other.|A clip in which a book and a chair part|A clip in which a book and a chair move apart|A clip in which a book and a chair move away from each other"),
    ("de", A_BOOK_GOES_LEFT, "Ein rotes Buch bewegt sich nach links.|Ein rotes Buch wandert von rechts nach links.|Hier bewegt sich ein rotes Buch nach links.|Hier wandert ein rotes Buch von rechts nach links."),
    ("de", TWO_CHAIRS_APPEAR, "Zwei rote Stühle erscheinen.|Zwei rote Stühle tauchen auf.|Hier erscheinen zwei rote Stühle.|Hier tauchen zwei rote Stühle auf."),
    ("de", A_BOOK_AND_A_CHAIR_PART, "Ein Buch und ein Stuhl bewegen sich voneinander weg.|Ein Buch und ein Stuhl entfernen sich voneinander.|Hier bewegen sich ein Buch und ein Stuhl voneinander weg.|Hier entfernen sich ein Buch und ein Stuhl voneinander."),
    ("es", A_BOOK_GOES_LEFT, "Un libro rojo se mueve hacia la izquierda.|Un libro rojo va de derecha a izquierda.|Se ve cómo un libro rojo se mueve hacia la izquierda.|Se ve cómo un libro rojo va de derecha a izquierda."),
    ("es", TWO_CHAIRS_APPEAR, "Dos sillas rojas aparecen.|Dos sillas rojas surgen de la nada.|Se ve cómo dos sillas rojas aparecen.|Se ve cómo dos sillas rojas surgen de la nada."),
    ("es", A_BOOK_AND_A_CHAIR_PART, "Un libro y una silla se separan.|Un libro y una silla se alejan cada vez más.|Se ve cómo un libro y una silla se separan.|Se ve cómo un libro y una silla se alejan cada vez más."),
    ("fr", A_BOOK_GOES_LEFT, "Un livre rouge se déplace vers la gauche.|Un livre rouge va de droite à gauche.|On voit un livre rouge qui se déplace vers la gauche.|On voit un livre rouge qui va de droite à gauche."),
    ("fr", TWO_CHAIRS_APPEAR, "Deux chaises rouges apparaissent.|Deux chaises rouges surgissent.|On voit deux chaises rouges qui apparaissent.|On voit deux chaises rouges qui surgissent."),
    ("fr", A_BOOK_AND_A_CHAIR_PART, "Un livre et une chaise s'éloignent.|Un livre et une chaise se séparent.|On voit un livre et une chaise qui s'éloignent.|On voit un livre et une chaise qui se séparent."),
    ("gl", CaptionPlan(first=some(1, "book", "black"), event="left"), "Un libro negro móvese cara á esquerda.|Un libro negro vai de dereita a esquerda.|No vídeo, un libro negro móvese cara á esquerda.|No vídeo, un libro negro vai de dereita a esquerda."),
    ("gl", CaptionPlan(first=some(2, "chair", "yellow"), event="appear"), "Dúas cadeiras amarelas aparecen.|Dúas cadeiras amarelas xorden da nada.|No vídeo, dúas cadeiras amarelas aparecen.|No vídeo, dúas cadeiras amarelas xorden da nada."),
    ("gl", A_BOOK_AND_A_CHAIR_PART, "Un libro e unha cadeira sepáranse.|Un libro e unha cadeira afástanse cada vez máis.|No vídeo, un libro e unha cadeira sepáranse.|No vídeo, un libro e unha cadeira afástanse cada vez máis."),
    ("pt", A_BOOK_GOES_LEFT, "Um livro vermelho se move para a esquerda.|Um livro vermelho vai da direita para a esquerda.|Um vídeo em que um livro vermelho se move para a esquerda|Um vídeo em que um livro vermelho vai da direita para a esquerda"),
    ("pt", TWO_CHAIRS_APPEAR, "Duas cadeiras vermelhas aparecem.|Duas cadeiras vermelhas surgem do nada.|Um vídeo em que duas cadeiras vermelhas aparecem|Um vídeo em que duas cadeiras vermelhas surgem do nada"),
    ("pt", A_BOOK_AND_A_CHAIR_PART, "Um livro e uma cadeira se separam.|Um livro e uma cadeira se afastam.|Um vídeo em que um livro e uma cadeira se separam|Um vídeo em que um livro e uma cadeira se afastam"),
    ("zh", CaptionPlan(first=some(1, "fish", size="small"), event="left"), "一条小鱼向左移动。|一条小鱼从右往左移动。|视频里，一条小鱼向左移动。|视频里，一条小鱼从右往左移动。"),
    ("zh", CaptionPlan(first=some(2, "chair"), event="appear"), "两把椅子出现了。|两把椅子突然出现。|视频里，两把椅子出现了。|视频里，两把椅子突然出现。"),
    ("zh", A_BOOK_AND_A_CHAIR_PART, "一本书和一把椅子分开了。|一本书和一把椅子互相远离。|视频里，一本书和一把椅子分开了。|视频里，一本书和一把椅子互相远离。"),
    # The verb agrees in gender and number behind its subject, in gender alone before it.
    ("ar", A_BOOK_GOES_LEFT, "كتاب أحمر يتحرك نحو اليسار|كتاب أحمر ينتقل من اليمين إلى اليسار|يتحرك كتاب أحمر نحو اليسار|ينتقل كتاب أحمر من اليمين إلى اليسار"),
    ("ar", CaptionPlan(first=some(1, "ball", "red"), event="left"), "كرة حمراء تتحرك نحو اليسار|كرة حمراء تنتقل من اليمين إلى اليسار|تتحرك كرة حمراء نحو اليسار|تنتقل كرة حمراء من اليمين إلى اليسار"),
    ("ar", CaptionPlan(first=some(2, "ball"), event="appear"), "كرتان تظهران|كرتان تظهران فجأة|تظهر كرتان|تظهر كرتان فجأة"),
    ("ar", CaptionPlan(first=some(2, "book"), event="appear"), "كتابان يظهران|كتابان يظهران فجأة|يظهر كتابان|يظهر كتابان فجأة"),
    ("ar", CaptionPlan(first=some(3, "book"), event="appear"), "ثلاثة كتب تظهر|ثلاثة كتب تظهر فجأة|تظهر ثلاثة كتب|تظهر ثلاثة كتب فجأة"),
    ("ar", A_BOOK_AND_A_CHAIR_PART, "كتاب وكرسي يفترقان|كتاب وكرسي يبتعدان عن بعضهما|يفترق كتاب وكرسي|يبتعد كتاب وكرسي عن بعضهما"),
    ("ar", CaptionPlan(first=some(1, "ball"), second=some(1, "car"), event="part"), "كرة وسيارة تفترقان|كرة وسيارة تبتعدان عن بعضهما|تفترق كرة وسيارة|تبتعد كرة وسيارة عن بعضهما"),
    ("ar", CaptionPlan(first=some(1, "ball"), second=some(1, "book"), event="part"), "كرة وكتاب يفترقان|كرة وكتاب يبتعدان عن بعضهما|تفترق كرة وكتاب|تبتعد كرة وكتاب عن بعضهما"),
]  # fmt: skip

AN_APPLE_TURNS = CaptionPlan(first=some(1, "apple", "green"), event="clockwise", place="left", ground="beach")
A_STAR_AND_A_TREE_MEET = CaptionPlan(
    first=some(1, "star", "white"), second=some(1, "tree", "green"), event="meet", ground="snow"
)
TWO_BOATS_SINK = CaptionPlan(first=some(2, "boat", "yellow"), event="down", ground="beach")

# Sentences that must be among those that can be said.
SAID = [
    ("en", AN_APPLE_TURNS, "On the left on the beach a green apple rotates clockwise."),
    ("en", A_STAR_AND_A_TREE_MEET, "A white star and a green tree come together in the snow."),
    ("en", TWO_BOATS_SINK, "Two yellow boats sink at the beach."),
    ("de", AN_APPLE_TURNS, "Links am Strand dreht sich ein grüner Apfel im Uhrzeigersinn."),
    ("de", A_STAR_AND_A_TREE_MEET, "Im Schnee bewegen sich ein weißer Stern und ein grüner Baum aufeinander zu."),
    ("de", TWO_BOATS_SINK, "Zwei gelbe Boote sinken am Strand in die Tiefe."),
    ("de", CaptionPlan(first=some(1, "flower"), event="disappear", ground="room"), "Im Zimmer löst sich eine Blume in Luft auf."),
    ("es", AN_APPLE_TURNS, "A la izquierda en la playa gira una manzana verde en sentido horario."),
    ("es", A_STAR_AND_A_TREE_MEET, "Una estrella blanca y un árbol verde se juntan en la nieve."),
    ("es", TWO_BOATS_SINK, "En la playa bajan dos barcos amarillos."),
    ("fr", AN_APPLE_TURNS, "Une pomme verte tourne dans le sens des aiguilles d'une montre à gauche sur la plage."),
    ("fr", A_STAR_AND_A_TREE_MEET, "Dans la neige, on voit une étoile blanche et un arbre vert qui se rejoignent."),
    ("fr", TWO_BOATS_SINK, "Sur la plage, deux bateaux jaunes descendent."),
    ("gl", AN_APPLE_TURNS, "Unha mazá verde xira no sentido das agullas do reloxo á esquerda na praia."),
    ("gl", A_STAR_AND_A_TREE_MEET, "Na neve achéganse unha estrela branca e unha árbore verde cada vez máis."),
    ("gl", TWO_BOATS_SINK, "Na praia móvense dous barcos amarelos cara abaixo."),
    ("pt", AN_APPLE_TURNS, "Na praia à esquerda, uma maçã verde gira no sentido horário."),
    ("pt", A_STAR_AND_A_TREE_MEET, "Na neve, uma estrela branca e uma árvore verde se encontram."),
    ("pt", TWO_BOATS_SINK, "Um vídeo em que dois barcos amarelos descem na praia"),
    ("zh", AN_APPLE_TURNS, "一个绿色的苹果在沙滩上的左边顺时针转动。"),
    ("zh", A_STAR_AND_A_TREE_MEET, "雪地里，一颗白星星和一棵绿树互相靠近。"),
    ("zh", TWO_BOATS_SINK, "两艘黄船在海滩上下降。"),
    ("ar", AN_APPLE_TURNS, "تدور تفاحة خضراء في اتجاه عقارب الساعة على اليسار على الشاطئ"),
    ("ar", A_STAR_AND_A_TREE_MEET, "في الثلج تلتقي نجمة بيضاء وشجرة خضراء"),
    ("ar", TWO_BOATS_SINK, "قاربان أصفران ينزلان إلى الأسفل على الشاطئ"),
]  # fmt: skip

# What tells each event in a sentence.
TELLS = {
    "de": {
        "appear": "erscheint|taucht .*auf", "disappear": "verschwindet|in Luft auf", "left": "nach links", "right": "nach rechts",
        "up": "nach oben|in die Höhe", "down": "nach unten|in die Tiefe", "clockwise": "im Uhrzeigersinn",
        "anticlockwise": "gegen den Uhrzeigersinn", "meet": "aufeinander zu|zusammen", "part": "voneinander",
    },
    "es": {
        "appear": "aparece(?<!desaparece)|surge", "disappear": "desaparece|desvanece", "left": "hacia la izquierda|a izquierda",
        "right": "hacia la derecha|a derecha", "up": "arriba|sube", "down": "abajo|baja", "clockwise": "sentido horario|sentido de las agujas",
        "anticlockwise": "antihorario|contrario", "meet": "juntan|acercan", "part": "separan|alejan",
    },
    "fr": {
        "appear": "apparaît|surgit", "disappear": "disparaît|efface", "left": "vers la gauche|à gauche", "right": "vers la droite|à droite",
        "up": "le haut|monte$|monte[ .]", "down": "le bas|descend", "clockwise": "le sens (des aiguilles|horaire)",
        "anticlockwise": "inverse|antihoraire", "meet": "rapprochent|rejoignent", "part": "éloignent|séparent",
    },
    "gl": {
        "appear": "(?<!des)aparece|xorde", "disappear": "desaparece|esvaéce", "left": "cara á esquerda|a esquerda", "right": "cara á dereita|a dereita",
        "up": "arriba|sobe", "down": "abaixo|baixa", "clockwise": "sentido horario|sentido das agullas",
        "anticlockwise": "antihorario|contrario", "meet": "xúntanse|achéganse", "part": "sepáranse|afástanse",
    },
    "pt": {
        "appear": "(?<!des)aparece|surge", "disappear": "desaparece|some", "left": "para a esquerda", "right": "para a direita",
        "up": "para cima|sobe", "down": "para baixo|desce", "clockwise": "sentido (horário|dos ponteiros)",
        "anticlockwise": "anti-horário|contrário", "meet": "encontram|aproximam", "part": "separam|afastam",
    },
    "ar": {
        "appear": "يظهر", "disappear": "يختفي", "left": "(نحو|إلى) اليسار", "right": "(نحو|إلى) اليمين", "up": "الأعلى", "down": "الأسفل",
        "clockwise": "(مع|في اتجاه) عقارب", "anticlockwise": "عكس", "meet": "يلتقي|يقترب", "part": "يفترق|يبتعد",
    },
}  # fmt: skip


@pytest.mark.parametrize("lang", TELLS)
def test_a_sentence_tells_its_event_and_no_other(lang: str) -> None:
    for event in EVENTS:
        second = some(1, "chair") if event in OF_TWO else None
        for text in every_caption(lang, CaptionPlan(first=some(1, "book"), second=second, event=event)):
            told = {one for one, words in TELLS[lang].items() if re.search(words, text)}
            assert told == {event}, text


@pytest.mark.parametrize(("lang", "plan", "sentences"), COMPLETE)
def test_a_grammar_says_of_an_event_exactly_this(lang: str, plan: CaptionPlan, sentences: str) -> None:
    assert every_caption(lang, plan) == set(sentences.split("|"))


@pytest.mark.parametrize(("lang", "plan", "sentence"), SAID)
def test_a_grammar_can_say_this_of_an_event(lang: str, plan: CaptionPlan, sentence: str) -> None:
    assert sentence in every_caption(lang, plan)


@pytest.mark.parametrize("lang", languages())
def test_no_sentence_fits_two_events(lang: str) -> None:
    for ground, count in itertools.product((None, "snow"), (1, 2, 3)):
        said = {
            event: every_caption(lang, CaptionPlan(first=some(count, "book"), event=event, ground=ground))
            for event in EVENTS
            if event not in OF_TWO
        }
        for event in OF_TWO:
            plan = CaptionPlan(first=some(1, "book"), second=some(1, "star"), event=event, ground=ground)
            said[event] = every_caption(lang, plan)
        for one, other in itertools.combinations(said, 2):
            assert not said[one] & said[other], (one, other)


@pytest.mark.parametrize("lang", languages())
def test_equal_draws_say_a_reversal_in_the_same_words_but_for_the_event(lang: str) -> None:
    """What is left of two captions without the words that name either event is the same."""
    grammar = importlib.import_module(f"dragoman.scenes.grammars.{lang}")
    events = getattr(grammar, "EVENTS", None) or grammar.caption.__self__.events
    for number, clip in enumerate(distinct_clips(150, seed=5)):
        draws, again = Draws(number), Draws(number)
        one = caption(lang, draw_clip_plan(clip, draws), draws)
        other = caption(lang, draw_clip_plan(reversed_clip(clip), again), again)
        phrases = [*events[clip.event], *events[REVERSED[clip.event]]]
        words = {word for phrase in phrases for word in re.split(r"[ |]", phrase) if word}
        pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        rest = [re.sub(pattern, "", re.sub(r"[.。\s]+", " ", text)).lower().split() for text in (one, other)]
        assert rest[0] == rest[1], (one, other)


@pytest.mark.parametrize("lang", languages())
def test_every_event_of_every_clip_has_words(lang: str) -> None:
    for number, clip in enumerate(distinct_clips(300, seed=6)):
        draws = Draws(number)
        text = caption(lang, draw_clip_plan(clip, draws), draws)
        assert re.fullmatch(r"\S+( \S+)*", text), text
        assert not re.search(r"[{}_<|]|None|\s[.,]|\.\.", text), text
