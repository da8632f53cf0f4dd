"""English captions."""

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
    "apple": ("apple apples",),
    "ball": ("ball balls",),
    "bird": ("bird birds",),
    "boat": ("boat boats",),
    "book": ("book books",),
    "box": ("box boxes",),
    "car": ("car cars",),
    "chair": ("chair chairs",),
    "cup": ("cup cups", "cup cups", "mug mugs"),
    "fish": ("fish fish",),
    "flower": ("flower flowers",),
    "hat": ("hat hats",),
    "house": ("house houses",),
    "star": ("star stars",),
    "tree": ("tree trees",),
    "umbrella": ("umbrella umbrellas",),
}
"""Singular and plural of each synonym; a synonym that is named twice is drawn twice as often."""

COLOURS = {"purple": ("purple", "violet")}
"""Colours with more than their own name."""
SIZES = {"small": ("small", "small", "little"), "big": ("big", "large")}
NUMERALS = {2: "two", 3: "three"}
SOME = ("some", "several")

GROUNDS = {
    "beach": ("on the beach", "at the beach"),
    "meadow": ("in a meadow", "on the grass", "in a green field"),
    "room": ("in a room", "indoors"),
    "snow": ("in the snow", "in a snowy landscape"),
    "street": ("on the street", "in the street", "on a road"),
}
PLACES = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top", "in the upper part of the picture"),
    "bottom": ("at the bottom", "in the lower part of the picture"),
    "centre": ("in the middle", "in the centre"),
}
RELATIONS = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
WHERE = Where(GROUNDS, PLACES, RELATIONS)
FRAMES = (
    Frame("{what} {where}"),
    Frame("{what} {where}"),
    Frame("There is {what} {where}.", "There are {what} {where}."),
    Frame("{where} there is {what}.", "{where} there are {what}."),
    Frame("{what} can be seen {where}."),
    Frame("A picture of {what} {where}"),
    Frame("{what}"),
    Frame("There is {what}.", "There are {what}."),
    Frame("A picture of {what}"),
    Frame("We see {what}."),
)
EVENTS: dict[Event, tuple[str, ...]] = {
    "appear": ("appears|appear|", "appears|appear|out of nowhere"),
    "disappear": ("disappears|disappear|", "vanishes|vanish|"),
    "left": ("moves|move|to the left", "moves|move|left", "goes|go|from right to left"),
    "right": ("moves|move|to the right", "moves|move|right", "goes|go|from left to right"),
    "up": ("moves|move|up", "goes|go|up", "rises|rise|"),
    "down": ("moves|move|down", "goes|go|down", "sinks|sink|"),
    "clockwise": ("turns|turn|clockwise", "rotates|rotate|clockwise"),
    "anticlockwise": ("turns|turn|counterclockwise", "rotates|rotate|anticlockwise"),
    "meet": ("|meet|", "|come|together", "|move|towards each other"),
    "part": ("|part|", "|move|apart", "|move|away from each other"),
}
EVENT_FRAMES = (
    Frame("{what} {verb} {how} {where}."),
    Frame("{what} {verb} {how} {where}."),
    Frame("{where} {what} {verb} {how}."),
    Frame("A clip in which {what} {verb} {how} {where}"),
    Frame("{what} {verb} {how}."),
    Frame("{what} {verb} {how}."),
    Frame("A clip in which {what} {verb} {how}"),
)


def caption(plan: CaptionPlan, draws: Draws) -> str:
    """One English caption that says the facts of `plan`."""
    where = WHERE.draw(plan, draws, _phrase)
    frame = draw_frame(EVENT_FRAMES if plan.event else FRAMES, where, draws)
    what = draw_what(plan, frame.case, draws, _phrase, " and ")
    doing = draw_event(EVENTS, plan, draws)
    return finish(frame.text(plan.first.count).format(what=what, where=where, **doing))


def _phrase(mention: Mention, case: str, draws: Draws) -> str:
    singular, plural = draws.pick(NOUNS[mention.kind]).split()
    size = draws.pick(SIZES[mention.size]) if mention.size else ""
    colour = draws.pick(COLOURS.get(mention.colour, (mention.colour,))) if mention.colour else ""
    rest = f"{size} {colour} {singular if mention.count == 1 else plural}".strip()
    if mention.count == 1:
        return f"{'an' if rest[0] in 'aeiou' else 'a'} {rest}"
    return f"{NUMERALS[mention.count] if mention.exact else draws.pick(SOME)} {rest}"
