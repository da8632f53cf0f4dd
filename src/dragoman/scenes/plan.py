"""What one captioner mentions of a scene: nobody says everything, and no two say the same."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.scenes.draws import Draws
from dragoman.scenes.scene import Group, Place, Relation, Scene, Size


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
class Plan:
    """The facts of one caption. With `second` but no `relation`, both groups are joined by "and"."""

    first: Mention
    second: Mention | None = None
    relation: Relation | None = None
    place: Place | None = None
    ground: str | None = None


COLOUR_SAID, SIZE_SAID, EXACT, GROUND_SAID, PLACE_SAID, SECOND_SAID, RELATION_SAID = (
    0.85,
    0.45,
    0.85,
    0.55,
    0.6,
    0.85,
    0.75,
)
"""How often a captioner mentions a fact, given that it may be mentioned."""

OPPOSITE: dict[Relation, Relation] = {"left": "right", "right": "left", "above": "below", "below": "above"}


def draw_plan(scene: Scene, draws: Draws) -> Plan:
    """What one captioner mentions of `scene`. Two groups are named in either order."""
    ground = scene.ground if draws.chance(GROUND_SAID) else None
    if scene.second is None or scene.relation is None:
        place = scene.place if draws.chance(PLACE_SAID) else None
        return Plan(first=_mention(scene.first, draws), place=place, ground=ground)
    one, other, relation = scene.first, scene.second, scene.relation
    if draws.chance(0.5):
        one, other, relation = other, one, OPPOSITE[relation]
    first = _mention(one, draws)
    if not draws.chance(SECOND_SAID):
        return Plan(first=first, ground=ground)
    said = relation if draws.chance(RELATION_SAID) else None
    return Plan(first=first, second=_mention(other, draws), relation=said, ground=ground)


def _mention(group: Group, draws: Draws) -> Mention:
    return Mention(
        kind=group.kind,
        count=group.count,
        exact=group.count < 3 or draws.chance(EXACT),
        colour=group.colour if draws.chance(COLOUR_SAID) else None,
        size=group.size if draws.chance(SIZE_SAID) else None,
    )
