"""The facts of one picture or clip, and how they are drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dragoman.errors import UserError
from dragoman.scenes.draws import Draws

Place = Literal["left", "right", "top", "bottom", "centre"]
Relation = Literal["left", "right", "above", "below"]
Size = Literal["small", "big"]
Event = Literal[
    "appear", "disappear", "left", "right", "up", "down", "clockwise", "anticlockwise", "meet", "part"
]

KINDS = (
    "apple",
    "ball",
    "bird",
    "boat",
    "book",
    "box",
    "car",
    "chair",
    "cup",
    "fish",
    "flower",
    "hat",
    "house",
    "star",
    "tree",
    "umbrella",
)
COLOURS = ("black", "blue", "brown", "green", "orange", "pink", "purple", "red", "white", "yellow")
SIZES: tuple[Size, ...] = ("small", "big")
COUNTS = (1, 2, 3)
GROUNDS = ("beach", "meadow", "room", "snow", "street")
PLACES: tuple[Place, ...] = ("left", "right", "top", "bottom", "centre")
RELATIONS: tuple[Relation, ...] = ("left", "right", "above", "below")

REVERSED: dict[Event, Event] = {
    "appear": "disappear",
    "disappear": "appear",
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "clockwise": "anticlockwise",
    "anticlockwise": "clockwise",
    "meet": "part",
    "part": "meet",
}
"""The event that is seen when the frames of another run backwards."""
EVENTS: tuple[Event, ...] = tuple(REVERSED)
AT_PLACE: tuple[Event, ...] = ("appear", "disappear", "clockwise", "anticlockwise")
OF_TWO: tuple[Event, ...] = ("meet", "part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One to three equal things that stand together."""

    kind: str
    colour: str
    size: Size
    count: int

    def __post_init__(self) -> None:
        require_known(self.kind in KINDS, "kind", self.kind, KINDS)
        require_known(self.colour in COLOURS, "colour", self.colour, COLOURS)
        require_known(self.size in SIZES, "size", self.size, SIZES)
        require_known(self.count in COUNTS, "count", self.count, COUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A ground with one group at a place, or with two groups of different kinds in a relation.

    `relation` says where `first` is, seen from `second`. Exactly one of `place` and `relation` is given.
    """

    ground: str
    first: Group
    place: Place | None = None
    second: Group | None = None
    relation: Relation | None = None

    def __post_init__(self) -> None:
        require_known(self.ground in GROUNDS, "ground", self.ground, GROUNDS)
        if (self.second is None) != (self.relation is None) or (self.place is None) == (self.second is None):
            raise UserError("A scene has either a place, or a second group and its relation to the first.")
        if self.second is not None and self.second.kind == self.first.kind:
            raise UserError(
                f"Both groups are of kind {self.first.kind!r}; captions could not tell them apart."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A ground, and something that happens there from the first frame to the last.

    A group that appears, disappears or turns is at a `place`. One that goes left, right, up or down has none.
    Two single things of different kinds meet or part: `first` is `relation` of `second` all the time.
    """

    ground: str
    event: Event
    first: Group
    place: Place | None = None
    second: Group | None = None
    relation: Relation | None = None

    def __post_init__(self) -> None:
        require_known(self.ground in GROUNDS, "ground", self.ground, GROUNDS)
        require_known(self.event in EVENTS, "event", self.event, EVENTS)
        two = self.event in OF_TWO
        if (self.place is not None) != (self.event in AT_PLACE) or {
            self.second is not None,
            self.relation is not None,
        } != {two}:
            raise UserError(
                f"Of place, second group and relation, a clip has only what its event {self.event!r} needs: "
                f"a place for {', '.join(AT_PLACE)}; a second group and a relation for {', '.join(OF_TWO)}."
            )
        if self.second is not None and self.second.kind == self.first.kind:
            raise UserError(
                f"Both things are of kind {self.first.kind!r}; captions could not tell them apart."
            )
        if self.second is not None and (self.first.count, self.second.count) != (1, 1):
            raise UserError("Only single things meet or part: there is no way to go for more.")


def draw_scene(draws: Draws) -> Scene:
    """A random scene; half of the scenes hold two groups."""
    ground, first = draws.pick(GROUNDS), draw_group(draws, KINDS)
    if draws.chance(0.5):
        return Scene(ground=ground, first=first, place=draws.pick(PLACES))
    others = tuple(kind for kind in KINDS if kind != first.kind)
    return Scene(ground=ground, first=first, second=draw_group(draws, others), relation=draws.pick(RELATIONS))


def distinct_scenes(number: int, seed: int) -> list[Scene]:
    """`number` different scenes; the first n are the same whatever `number` is."""
    draws, found = Draws(seed, "scenes"), dict[Scene, None]()
    while len(found) < number:
        found[draw_scene(draws)] = None
    return list(found)


def reversed_clip(clip: Clip) -> Clip:
    """The clip that is seen when the frames of `clip` run backwards."""
    return replace(clip, event=REVERSED[clip.event])


def draw_clip(draws: Draws) -> Clip:
    """A random clip; every event is equally likely."""
    ground, event = draws.pick(GROUNDS), draws.pick(EVENTS)
    if event in AT_PLACE:
        return Clip(ground=ground, event=event, first=draw_group(draws, KINDS), place=draws.pick(PLACES))
    if event not in OF_TWO:
        return Clip(ground=ground, event=event, first=draw_group(draws, KINDS))
    first = draw_group(draws, KINDS, counts=(1,))
    others = tuple(kind for kind in KINDS if kind != first.kind)
    second = draw_group(draws, others, counts=(1,))
    return Clip(ground=ground, event=event, first=first, second=second, relation=draws.pick(RELATIONS))


def distinct_clips(number: int, seed: int) -> list[Clip]:
    """`number` different clips, none the reversal of another; the first n do not depend on `number`."""
    draws, found = Draws(seed, "clips"), dict[Clip, None]()
    while len(found) < number:
        clip = draw_clip(draws)
        if reversed_clip(clip) not in found:
            found[clip] = None
    return list(found)


def draw_group(draws: Draws, kinds: tuple[str, ...], counts: tuple[int, ...] = COUNTS) -> Group:
    """A random group of one of these kinds and counts."""
    return Group(
        kind=draws.pick(kinds),
        colour=draws.pick(COLOURS),
        size=draws.pick(SIZES),
        count=draws.pick(counts),
    )


def require_known(ok: bool, field: str, value: object, known: tuple[object, ...]) -> None:
    """Raise UserError, with what is known, unless `ok`."""
    if not ok:
        raise UserError(f"A scene has no {field} {value!r}. Known: {', '.join(map(str, known))}.")
