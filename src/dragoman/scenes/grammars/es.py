"""Spanish captions."""

from __future__ import annotations

from dragoman.scenes.grammars._frames import Frame
from dragoman.scenes.grammars._romance import Romance

SPANISH = Romance(
    nouns={
        "apple": ("manzana manzanas f",),
        "ball": ("pelota pelotas f", "bola bolas f", "balón balones m"),
        "bird": ("pájaro pájaros m", "pajarito pajaritos m small"),
        "boat": ("barco barcos m", "barca barcas f", "bote botes m"),
        "book": ("libro libros m",),
        "box": ("caja cajas f",),
        "car": ("coche coches m", "carro carros m", "auto autos m"),
        "chair": ("silla sillas f",),
        "cup": ("taza tazas f",),
        "fish": ("pez peces m",),
        "flower": ("flor flores f",),
        "hat": ("sombrero sombreros m",),
        "house": ("casa casas f",),
        "star": ("estrella estrellas f",),
        "tree": ("árbol árboles m",),
        "umbrella": ("paraguas paraguas m",),
    },
    colours={
        "black": ("negro negra negros negras",),
        "blue": ("azul azules",),
        "brown": ("marrón marrones",),
        "green": ("verde verdes",),
        "orange": ("naranja", "de_color_naranja"),
        "pink": ("rosa", "rosado rosada rosados rosadas"),
        "purple": ("morado morada morados moradas", "violeta"),
        "red": ("rojo roja rojos rojas",),
        "white": ("blanco blanca blancos blancas",),
        "yellow": ("amarillo amarilla amarillos amarillas",),
    },
    sizes={
        "small": ("pequeño pequeña pequeños pequeñas", "<pequeño pequeña pequeños pequeñas"),
        "big": ("grande grandes", "<gran grandes"),
    },
    numerals={1: "un una", 2: "dos", 3: "tres"},
    some=("unos unas", "varios varias"),
    link=" y ",
    grounds={
        "beach": ("en la playa", "en la arena"),
        "meadow": ("en un prado", "en el césped", "sobre la hierba"),
        "room": ("en una habitación", "en un cuarto", "dentro de una sala"),
        "snow": ("en la nieve", "en un paisaje nevado"),
        "street": ("en la calle", "en una carretera"),
    },
    places={
        "left": ("a la izquierda", "en el lado izquierdo"),
        "right": ("a la derecha", "en el lado derecho"),
        "top": ("arriba", "en la parte superior"),
        "bottom": ("abajo", "en la parte inferior"),
        "centre": ("en el centro", "en el medio"),
    },
    relations={
        "left": ("a la izquierda de",),
        "right": ("a la derecha de",),
        "above": ("encima de", "por encima de", "sobre"),
        "below": ("debajo de", "bajo"),
    },
    frames=(
        Frame("{what} {where}"),
        Frame("{what} {where}"),
        Frame("hay {what} {where}."),
        Frame("{where} hay {what}."),
        Frame("{where} se ve {what}.", "{where} se ven {what}."),
        Frame("una foto de {what} {where}"),
        Frame("{what}"),
        Frame("hay {what}."),
        Frame("se ve {what}.", "se ven {what}."),
        Frame("una foto de {what}"),
    ),
    events={
        "appear": ("aparece|aparecen|", "surge|surgen|de la nada"),
        "disappear": ("desaparece|desaparecen|", "se desvanece|se desvanecen|"),
        "left": ("se mueve|se mueven|hacia la izquierda", "va|van|de derecha a izquierda"),
        "right": ("se mueve|se mueven|hacia la derecha", "va|van|de izquierda a derecha"),
        "up": ("se mueve|se mueven|hacia arriba", "sube|suben|"),
        "down": ("se mueve|se mueven|hacia abajo", "baja|bajan|"),
        "clockwise": ("gira|giran|en sentido horario", "gira|giran|en el sentido de las agujas del reloj"),
        "anticlockwise": (
            "gira|giran|en sentido antihorario",
            "gira|giran|en sentido contrario a las agujas del reloj",
        ),
        "meet": ("|se juntan|", "|se acercan|cada vez más"),
        "part": ("|se separan|", "|se alejan|cada vez más"),
    },
    event_frames=(
        Frame("{what} {verb} {how} {where}."),
        Frame("{where} {verb} {what} {how}."),
        Frame("se ve cómo {what} {verb} {how} {where}."),
        Frame("{what} {verb} {how}."),
        Frame("se ve cómo {what} {verb} {how}."),
    ),
)

caption = SPANISH.caption
