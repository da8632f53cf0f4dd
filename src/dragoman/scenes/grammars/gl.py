"""Galician captions."""

from __future__ import annotations

from dragoman.scenes.grammars._frames import Frame
from dragoman.scenes.grammars._romance import Romance

GALICIAN = Romance(
    nouns={
        "apple": ("mazá mazás f",),
        "ball": ("pelota pelotas f", "bóla bólas f", "balón balóns m"),
        "bird": ("paxaro paxaros m", "paxariño paxariños m small"),
        "boat": ("barco barcos m", "barca barcas f", "bote botes m"),
        "book": ("libro libros m",),
        "box": ("caixa caixas f",),
        "car": ("coche coches m", "automóbil automóbiles m"),
        "chair": ("cadeira cadeiras f",),
        "cup": ("cunca cuncas f", "taza tazas f"),
        "fish": ("peixe peixes m",),
        "flower": ("flor flores f",),
        "hat": ("sombreiro sombreiros m", "chapeu chapeus m"),
        "house": ("casa casas f", "casiña casiñas f small"),
        "star": ("estrela estrelas f",),
        "tree": ("árbore árbores f",),
        "umbrella": ("paraugas paraugas m",),
    },
    colours={
        "black": ("negro negra negros negras",),
        "blue": ("azul azuis",),
        "brown": ("marrón marróns", "castaño castaña castaños castañas"),
        "green": ("verde verdes",),
        "orange": ("laranxa",),
        "pink": ("rosa", "rosado rosada rosados rosadas"),
        "purple": ("morado morada morados moradas", "violeta"),
        "red": ("vermello vermella vermellos vermellas", "roxo roxa roxos roxas"),
        "white": ("branco branca brancos brancas",),
        "yellow": ("amarelo amarela amarelos amarelas",),
    },
    sizes={
        "small": ("pequeno pequena pequenos pequenas", "<pequeno pequena pequenos pequenas"),
        "big": ("grande grandes", "<gran grandes"),
    },
    numerals={1: "un unha", 2: "dous dúas", 3: "tres"},
    some=("uns unhas", "varios varias"),
    link=" e ",
    grounds={
        "beach": ("en a praia", "en a area"),
        "meadow": ("en un prado", "en a herba", "sobre a herba"),
        "room": ("en un cuarto", "en unha habitación", "dentro de unha sala"),
        "snow": ("en a neve", "en unha paisaxe nevada"),
        "street": ("en a rúa", "en unha estrada"),
    },
    places={
        "left": ("á esquerda", "en o lado esquerdo"),
        "right": ("á dereita", "en o lado dereito"),
        "top": ("arriba", "en a parte superior"),
        "bottom": ("abaixo", "en a parte inferior"),
        "centre": ("en o centro", "en o medio"),
    },
    relations={
        "left": ("á esquerda de",),
        "right": ("á dereita de",),
        "above": ("enriba de", "por riba de", "sobre"),
        "below": ("debaixo de", "por baixo de"),
    },
    frames=(
        Frame("{what} {where}"),
        Frame("{what} {where}"),
        Frame("hai {what} {where}."),
        Frame("{where} hai {what}."),
        Frame("{where} vese {what}.", "{where} vense {what}."),
        Frame("unha foto de {what} {where}"),
        Frame("{what}"),
        Frame("hai {what}."),
        Frame("vese {what}.", "vense {what}."),
        Frame("unha foto de {what}"),
    ),
    events={
        "appear": ("aparece|aparecen|", "xorde|xorden|da nada"),
        "disappear": ("desaparece|desaparecen|", "esvaécese|esvaécense|"),
        "left": ("móvese|móvense|cara á esquerda", "vai|van|de dereita a esquerda"),
        "right": ("móvese|móvense|cara á dereita", "vai|van|de esquerda a dereita"),
        "up": ("móvese|móvense|cara arriba", "sobe|soben|"),
        "down": ("móvese|móvense|cara abaixo", "baixa|baixan|"),
        "clockwise": ("xira|xiran|en sentido horario", "xira|xiran|no sentido das agullas do reloxo"),
        "anticlockwise": (
            "xira|xiran|en sentido antihorario",
            "xira|xiran|en sentido contrario ás agullas do reloxo",
        ),
        "meet": ("|xúntanse|", "|achéganse|cada vez máis"),
        "part": ("|sepáranse|", "|afástanse|cada vez máis"),
    },
    event_frames=(
        Frame("{what} {verb} {how} {where}."),
        Frame("{where} {verb} {what} {how}."),
        Frame("{what} {verb} {how}."),
        Frame("no vídeo, {what} {verb} {how}."),
    ),
    contractions=(
        (r"\ben (?=(a|o|un|unha)\b)", "n"),
        (r"\bEn (?=(a|o|un|unha)\b)", "N"),
        (r"\bde (?=(un|unha|uns|unhas)\b)", "d"),
    ),
)

caption = GALICIAN.caption
