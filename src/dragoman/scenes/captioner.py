"""The facts that one captioner mentions of a scene: never all of them, and no two captioners the same."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.scenes.draws import Draws
from dragoman.scenes.scene import Clip, Event, Group, Place, Relation, Scene, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A group as one captioner describes it; null is left unsaid.

    `exact` is false where the captioner says "some" or "several" for more than two.
    """

    kind: str
    count: int
    exact: bool = True
    colour: str | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionPlan:
    """The facts of one caption. With `second` but no `relation`, both groups are joined by "and".

    With an `event` it is the caption of a clip: it says what both of them, or the first, do.
    """

    first: Mention
    second: Mention | None = None
    relation: Relation | None = None
    place: Place | None = None
    ground: str | None = None
    event: Event | None = None


COLOUR_SAID, SIZE_SAID, EXACT = 0.85, 0.45, 0.85
GROUND_SAID, PLACE_SAID, SECOND_SAID, RELATION_SAID = 0.55, 0.6, 0.85, 0.75
"""Probability that a captioner mentions a fact that may be mentioned."""

OPPOSITE: dict[Relation, Relation] = {"left": "right", "right": "left", "above": "below", "below": "above"}


def draw_plan(scene: Scene, draws: Draws) -> CaptionPlan:
    """Draw what one captioner mentions of `scene`. Two groups are named in either order."""
    ground = scene.ground if draws.chance(GROUND_SAID) else None
    if scene.second is None or scene.relation is None:
        place = scene.place if draws.chance(PLACE_SAID) else None
        return CaptionPlan(first=_mention(scene.first, draws), place=place, ground=ground)
    one, other, relation = scene.first, scene.second, scene.relation
    if draws.chance(0.5):
        one, other, relation = other, one, OPPOSITE[relation]
    first = _mention(one, draws)
    if not draws.chance(SECOND_SAID):
        return CaptionPlan(first=first, ground=ground)
    said = relation if draws.chance(RELATION_SAID) else None
    return CaptionPlan(first=first, second=_mention(other, draws), relation=said, ground=ground)


def draw_clip_plan(clip: Clip, draws: Draws) -> CaptionPlan:
    """Draw what one captioner mentions of `clip`: the event always, and both things where two meet or part.

    Equal draws give the same plan of a clip and of its reversal, but for the event.
    """
    ground = clip.ground if draws.chance(GROUND_SAID) else None
    place = clip.place if clip.place and draws.chance(PLACE_SAID) else None
    groups = [clip.first] if clip.second is None else [clip.first, clip.second]
    if len(groups) == 2 and draws.chance(0.5):
        groups.reverse()
    first, *rest = (_mention(group, draws) for group in groups)
    return CaptionPlan(
        first=first, second=rest[0] if rest else None, place=place, ground=ground, event=clip.event
    )


def _mention(group: Group, draws: Draws) -> Mention:
    return Mention(
        kind=group.kind,
        count=group.count,
        exact=group.count < 3 or draws.chance(EXACT),
        colour=group.colour if draws.chance(COLOUR_SAID) else None,
        size=group.size if draws.chance(SIZE_SAID) else None,
    )
