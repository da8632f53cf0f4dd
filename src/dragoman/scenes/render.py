"""Pictures of scenes, and the frames of clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image, ImageFilter

from dragoman.scenes.backdrops import backdrop
from dragoman.scenes.draws import Draws
from dragoman.scenes.scene import Clip, Event, Group, Place, Relation, Scene, reversed_clip
from dragoman.scenes.sprites import sprite

Point = tuple[float, float]

SIDE = 192
"""Width and height of a picture, in pixels."""
CLIP_SIDE = 128
"""Width and height of a frame, in pixels."""
RATE = 8
"""Frames a second."""
# With a frame at 0 and one at 3 seconds, a clip and its reversal have the same frames among those at 1, 2, 4
# or 8 a second; otherwise what is sampled would tell them apart without their order.
FRAMES = 3 * RATE + 1
"""Frames of a clip."""
# In a second it is less than half of the 72 degrees after which a star looks the same; faster ones would seem
# to turn the other way.
TURN = 95.0
"""Degrees that things turn from the first frame to the last."""

BACKWARDS: tuple[Event, ...] = ("disappear", "right", "down", "anticlockwise", "part")
"""Events that are the frames of the other five, from last to first."""

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
    "left": (CENTRE["left"], CENTRE["right"]),
    "right": (CENTRE["right"], CENTRE["left"]),
    "above": (CENTRE["top"], CENTRE["bottom"]),
    "below": (CENTRE["bottom"], CENTRE["top"]),
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


def _draw_stance(group: Group, draws: Draws) -> Stance:
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
    stance = _draw_stance(group, draws)
    size = _thing_size(stance, picture.width)
    for tilt, at in zip(stance.tilts, _corners(group, stance, centre, picture.width), strict=True):
        _put(picture, sprite(group.kind, group.colour, size, tilt), at, size)


def _thing_size(stance: Stance, side: int) -> int:
    """Pixels along one thing in a picture of `side` pixels."""
    return round(2 * stance.radius * side)


def _corners(group: Group, stance: Stance, centre: Point, side: int) -> list[tuple[int, int]]:
    """The upper left corner of each thing of a group around `centre`, in pixels."""
    x, y = (axis + offset for axis, offset in zip(centre, stance.offset, strict=True))
    radius = stance.radius
    return [
        (round((x + right * radius - radius) * side), round((y + down * radius - radius) * side))
        for right, down in FORMATION[group.count]
    ]


def _put(picture: Image.Image, thing: Image.Image, at: tuple[int, int], size: int) -> None:
    """Put a thing and its shadow, which is as long as things of `size` pixels cast it, onto `picture`."""
    side = thing.width
    # Twice as large as the thing, for the shadow is moved and its blur reaches beyond the edges.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Place, clockwise turn (degrees) and opacity of a group at one moment."""

    centre: Point
    turn: float = 0.0
    opacity: float = 1.0


def clip_frames(clip: Clip, draws: Draws) -> list[Image.Image]:
    """FRAMES RGB pictures of `clip`, CLIP_SIDE pixels square; draws vary what they vary in a picture."""
    # One of the two is drawn, the other is its frames from last to first: nothing but the order differs.
    if clip.event in BACKWARDS:
        return clip_frames(reversed_clip(clip), draws)[::-1]
    empty = backdrop(clip.ground, CLIP_SIDE, draws).convert("RGBA")
    cast = [(group, _draw_stance(group, draws)) for group in (clip.first, clip.second) if group]
    if clip.event == "clockwise":
        cast = [(group, _leaning(stance, draws.uniform(0, 360))) for group, stance in cast]
    return [_frame(clip, empty, cast, number / (FRAMES - 1)) for number in range(FRAMES)]


def _leaning(stance: Stance, turn: float) -> Stance:
    # So that how things stand in one frame does not tell which way they go on to turn.
    return replace(stance, tilts=tuple(tilt + turn for tilt in stance.tilts))


def _frame(clip: Clip, empty: Image.Image, cast: list[tuple[Group, Stance]], moment: float) -> Image.Image:
    picture = empty.copy()
    poses = _poses(clip, [stance.radius for _, stance in cast], moment)
    for (group, stance), pose in zip(cast, poses, strict=True):
        _put_posed(picture, group, stance, pose)
    return picture.convert("RGB")


def _poses(clip: Clip, radii: list[float], moment: float) -> Iterator[Pose]:
    """The pose of each group at a moment between 0 (first frame) and 1 (last frame)."""
    if clip.event == "left":
        yield Pose(centre=_between(CENTRE["right"], CENTRE["left"], moment))
    elif clip.event == "up":
        yield Pose(centre=_between(CENTRE["bottom"], CENTRE["top"], moment))
    elif clip.place and clip.event == "appear":
        yield Pose(centre=CENTRE[clip.place], opacity=moment)
    elif clip.place:
        yield Pose(centre=CENTRE[clip.place], turn=TURN * moment)
    elif clip.relation:
        ends = ENDS[clip.relation]
        apart = max(abs(one - other) for one, other in zip(*ends, strict=True))
        # In the last frame they touch; each goes half of the way.
        covered = moment * (apart - sum(radii)) / apart / 2
        for here, there in (ends, ends[::-1]):
            yield Pose(centre=_between(here, there, covered))


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _put_posed(picture: Image.Image, group: Group, stance: Stance, pose: Pose) -> None:
    size = _thing_size(stance, picture.width)
    places = _corners(group, stance, pose.centre, picture.width)
    for tilt, (x, y) in zip(stance.tilts, places, strict=True):
        thing = _faded(_thing(group.kind, group.colour, size, tilt - pose.turn), pose.opacity)
        grown = (thing.width - size) // 2
        _put(picture, thing, (x - grown, y - grown), size)


@lru_cache(maxsize=8)
def _thing(kind: str, colour: str, size: int, tilt: float) -> Image.Image:
    # Kept from frame to frame: most things do not change on their way, and drawing them takes longest.
    return sprite(kind, colour, size, tilt, whole=True)


def _faded(thing: Image.Image, opacity: float) -> Image.Image:
    if opacity == 1:
        return thing
    faded = thing.copy()
    faded.putalpha(thing.getchannel("A").point([round(alpha * opacity) for alpha in range(256)]))
    return faded
