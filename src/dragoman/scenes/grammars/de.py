"""German captions: three genders, three cases."""

from __future__ import annotations

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars._frames import (
    Frame,
    Where,
    draw_event,
    draw_frame,
    draw_what,
    finish,
)
from dragoman.scenes.scene import Event

NOUNS = {
    "apple": ("Apfel Äpfel m",),
    "ball": ("Ball Bälle m",),
    "bird": ("Vogel Vögel m",),
    "boat": ("Boot Boote n", "Schiff Schiffe n"),
    "book": ("Buch Bücher n",),
    "box": ("Kiste Kisten f", "Schachtel Schachteln f"),
    "car": ("Auto Autos n", "Wagen Wagen m"),
    "chair": ("Stuhl Stühle m",),
    "cup": ("Tasse Tassen f", "Becher Becher m"),
    "fish": ("Fisch Fische m",),
    "flower": ("Blume Blumen f",),
    "hat": ("Hut Hüte m",),
    "house": ("Haus Häuser n",),
    "star": ("Stern Sterne m",),
    "tree": ("Baum Bäume m",),
    "umbrella": ("Regenschirm Regenschirme m", "Schirm Schirme m"),
}
"""Nominative singular, nominative plural, gender."""

COLOURS = {
    "black": ("schwarz",),
    "blue": ("blau",),
    "brown": ("braun",),
    "green": ("grün",),
    "orange": ("orangefarben", "orange"),
    "pink": ("rosa", "rosafarben"),
    "purple": ("lila", "violett"),
    "red": ("rot",),
    "white": ("weiß",),
    "yellow": ("gelb",),
}
INVARIABLE = {"orange", "rosa", "lila"}
SIZES = {"small": ("klein",), "big": ("groß",)}
NUMERALS = {2: "zwei", 3: "drei"}

ARTICLES = {
    "nom": {"m": "ein", "f": "eine", "n": "ein"},
    "acc": {"m": "einen", "f": "eine", "n": "ein"},
    "dat": {"m": "einem", "f": "einer", "n": "einem"},
}
ENDINGS = {
    "nom": {"m": "er", "f": "e", "n": "es", "many": "e"},
    "acc": {"m": "en", "f": "e", "n": "es", "many": "e"},
    "dat": {"m": "en", "f": "en", "n": "en", "many": "en"},
}
"""Endings of adjectives after "ein", and after a numeral or "einige"."""

GROUNDS = {
    "beach": ("am Strand", "auf dem Sand"),
    "meadow": ("auf einer Wiese", "im Gras", "auf der Wiese"),
    "room": ("in einem Zimmer", "im Zimmer", "in einem Raum"),
    "snow": ("im Schnee", "in einer verschneiten Landschaft"),
    "street": ("auf der Straße", "auf einer Straße"),
}
PLACES = {
    "left": ("links", "auf der linken Seite"),
    "right": ("rechts", "auf der rechten Seite"),
    "top": ("oben", "im oberen Teil"),
    "bottom": ("unten", "im unteren Teil"),
    "centre": ("in der Mitte", "im Zentrum"),
}
RELATIONS = {
    "left": ("links von", "links neben"),
    "right": ("rechts von", "rechts neben"),
    "above": ("über", "oberhalb von"),
    "below": ("unter", "unterhalb von"),
}
"""All of these take the dative."""
WHERE = Where(GROUNDS, PLACES, RELATIONS, "dat")
FRAMES = (
    Frame("{what} {where}"),
    Frame("{what} {where}"),
    Frame("{where} ist {what}.", "{where} sind {what}."),
    Frame("{where} sieht man {what}.", case="acc"),
    Frame("man sieht {what} {where}.", case="acc"),
    Frame("ein Bild von {what} {where}", case="dat"),
    Frame("{what}"),
    Frame("hier ist {what}.", "hier sind {what}."),
    Frame("man sieht {what}.", case="acc"),
    Frame("ein Bild von {what}", case="dat"),
)
EVENTS: dict[Event, tuple[str, ...]] = {
    "appear": ("erscheint|erscheinen|", "taucht|tauchen|auf"),
    "disappear": ("verschwindet|verschwinden|", "löst sich|lösen sich|in Luft auf"),
    "left": ("bewegt sich|bewegen sich|nach links", "wandert|wandern|von rechts nach links"),
    "right": ("bewegt sich|bewegen sich|nach rechts", "wandert|wandern|von links nach rechts"),
    "up": ("bewegt sich|bewegen sich|nach oben", "steigt|steigen|in die Höhe"),
    "down": ("bewegt sich|bewegen sich|nach unten", "sinkt|sinken|in die Tiefe"),
    "clockwise": ("dreht sich|drehen sich|im Uhrzeigersinn", "rotiert|rotieren|im Uhrzeigersinn"),
    "anticlockwise": (
        "dreht sich|drehen sich|gegen den Uhrzeigersinn",
        "rotiert|rotieren|gegen den Uhrzeigersinn",
    ),
    "meet": ("|bewegen sich|aufeinander zu", "|kommen|zusammen"),
    "part": ("|bewegen sich|voneinander weg", "|entfernen sich|voneinander"),
}
EVENT_FRAMES = (
    Frame("{what} {verb} {where} {how}."),
    Frame("{what} {verb} {where} {how}."),
    Frame("{where} {verb} {what} {how}."),
    Frame("{what} {verb} {how}."),
    Frame("hier {verb} {what} {how}."),
)


def caption(plan: CaptionPlan, draws: Draws) -> str:
    """One German caption that says the facts of `plan`."""
    where = WHERE.draw(plan, draws, _phrase)
    frame = draw_frame(EVENT_FRAMES if plan.event else FRAMES, where, draws)
    what = draw_what(plan, frame.case, draws, _phrase, " und ")
    doing = draw_event(EVENTS, plan, draws)
    return finish(frame.text(plan.first.count).format(what=what, where=where, **doing))


def _phrase(mention: Mention, case: str, draws: Draws) -> str:
    singular, plural, gender = draws.pick(NOUNS[mention.kind]).split()
    ending = ENDINGS[case][gender if mention.count == 1 else "many"]
    said = [draws.pick(SIZES[mention.size])] if mention.size else []
    said += [draws.pick(COLOURS[mention.colour])] if mention.colour else []
    adjectives = [word if word in INVARIABLE else word + ending for word in said]
    if mention.count == 1:
        return " ".join([ARTICLES[case][gender], *adjectives, singular])
    number = NUMERALS[mention.count] if mention.exact else "einigen" if case == "dat" else "einige"
    return " ".join([number, *adjectives, _dative_plural(plural) if case == "dat" else plural])


def _dative_plural(plural: str) -> str:
    return plural if plural[-1] in "ns" else plural + "n"
