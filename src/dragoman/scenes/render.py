"""A picture of a scene."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageFilter

from dragoman.scenes.backdrops import backdrop
from dragoman.scenes.draws import Draws
from dragoman.scenes.scene import Group, Place, Relation, Scene
from dragoman.scenes.sprites import sprite

Point = tuple[float, float]

SIDE = 192
"""Width and height of a picture, in pixels."""
RADIUS = {"small": 0.068, "big": 0.112}
"""Half the side of one thing, as a share of the picture."""

CENTRE: dict[Place, Point] = {
    "left": (0.262, 0.52),
    "right": (0.738, 0.52),
    "top": (0.5, 0.26),
    "bottom": (0.5, 0.74),
    "centre": (0.5, 0.5),
}
ENDS: dict[Relation, tuple[Point, Point]] = {
    "left": ((0.262, 0.52), (0.738, 0.52)),
    "right": ((0.738, 0.52), (0.262, 0.52)),
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "below": ((0.5, 0.74), (0.5, 0.26)),
}
"""Places of the first and the second group of a relation."""
FORMATION: dict[int, tuple[Point, ...]] = {
    1: ((0.0, 0.0),),
    2: ((-1.0, 0.0), (1.0, 0.0)),
    3: ((0.0, -0.92), (-1.0, 0.9), (1.0, 0.9)),
}
"""Places within a group, in units of the radius."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """Size, exact place and tilts of one group, a little different every time."""

    radius: float
    offset: Point
    tilts: tuple[float, ...]


def draw_stance(group: Group, draws: Draws) -> Stance:
    """A random stance of `group`."""
    return Stance(
        radius=RADIUS[group.size] * draws.uniform(0.94, 1.04),
        offset=(draws.uniform(-0.018, 0.018), draws.uniform(-0.018, 0.018)),
        tilts=tuple(draws.uniform(-6, 6) for _ in range(group.count)),
    )


def render(scene: Scene, draws: Draws) -> Image.Image:
    """An RGB picture of `scene`, SIDE pixels square; draws vary ground, places and tilt a little."""
    picture = backdrop(scene.ground, SIDE, draws).convert("RGBA")
    if scene.place:
        _put_group(picture, scene.first, CENTRE[scene.place], draws)
    elif scene.relation and scene.second:
        for group, centre in zip((scene.first, scene.second), ENDS[scene.relation], strict=True):
            _put_group(picture, group, centre, draws)
    return picture.convert("RGB")


def _put_group(picture: Image.Image, group: Group, centre: Point, draws: Draws) -> None:
    stance = draw_stance(group, draws)
    size = thing_size(stance, picture.width)
    for tilt, at in zip(stance.tilts, corners(group, stance, centre, picture.width), strict=True):
        put(picture, sprite(group.kind, group.colour, size, tilt), at, size)


def thing_size(stance: Stance, side: int) -> int:
    """Pixels along one thing in a picture of `side` pixels."""
    return round(2 * stance.radius * side)


def corners(group: Group, stance: Stance, centre: Point, side: int) -> list[tuple[int, int]]:
    """The upper left corner of each thing of a group around `centre`, in pixels."""
    x, y = (axis + offset for axis, offset in zip(centre, stance.offset, strict=True))
    radius = stance.radius
    return [
        (round((x + right * radius - radius) * side), round((y + down * radius - radius) * side))
        for right, down in FORMATION[group.count]
    ]


def put(picture: Image.Image, thing: Image.Image, at: tuple[int, int], size: int) -> None:
    """Put a thing and its shadow, which is as long as things of `size` pixels cast it, onto `picture`."""
    side = thing.width
    shade = Image.new("L", (side * 2, side * 2))
    shade.paste(
        thing.getchannel("A").point(lambda alpha: alpha // 3), (side // 2 + size // 16, side // 2 + size // 8)
    )
    blurred = shade.filter(ImageFilter.GaussianBlur(size / 14))
    shadow = Image.merge(
        "RGBA", [*(Image.new("L", shade.size, channel) for channel in (30, 30, 50)), blurred]
    )
    layer = Image.new("RGBA", picture.size)
    layer.paste(shadow, (at[0] - side // 2, at[1] - side // 2))
    picture.alpha_composite(layer)
    layer = Image.new("RGBA", picture.size)
    layer.paste(thing, at)
    picture.alpha_composite(layer)
