"""The frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from dragoman.scenes.backdrops import backdrop
from dragoman.scenes.clip import Clip, Event, reversed_clip
from dragoman.scenes.draws import Draws
from dragoman.scenes.render import CENTRE, ENDS, Point, Stance, corners, draw_stance, put, thing_size
from dragoman.scenes.scene import Group
from dragoman.scenes.sprites import sprite

SIDE = 128
"""Width and height of a frame, in pixels."""
RATE = 8
"""Frames a second."""
FRAMES = 3 * RATE + 1
"""With a frame at 0 and one at 3 seconds, a clip and its reversal have the same frames among those at 1, 2, 4
or 8 a second; otherwise what is sampled would tell them apart without their order."""
TURN = 95.0
"""Degrees that things turn. In a second it is less than half of the 72 degrees after which a star looks the
same; faster ones would seem to turn the other way."""

BACKWARDS: tuple[Event, ...] = ("disappear", "right", "down", "anticlockwise", "part")
"""Events that are the frames of the other five, from last to first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Place, clockwise turn (degrees) and opacity of a group at one moment."""

    centre: Point
    turn: float = 0.0
    opacity: float = 1.0


def film(clip: Clip, draws: Draws) -> list[Image.Image]:
    """FRAMES RGB pictures of `clip`, SIDE pixels square; draws vary what they vary in a picture."""
    if clip.event in BACKWARDS:
        return film(reversed_clip(clip), draws)[::-1]
    empty = backdrop(clip.ground, SIDE, draws).convert("RGBA")
    cast = [(group, draw_stance(group, draws)) for group in (clip.first, clip.second) if group]
    if clip.event == "clockwise":
        cast = [(group, _leaning(stance, draws.uniform(0, 360))) for group, stance in cast]
    return [_frame(clip, empty, cast, number / (FRAMES - 1)) for number in range(FRAMES)]


def _leaning(stance: Stance, turn: float) -> Stance:
    """Turned anyhow, so that how things stand in one frame does not tell which way they go on to turn."""
    return replace(stance, tilts=tuple(tilt + turn for tilt in stance.tilts))


def _frame(clip: Clip, empty: Image.Image, cast: list[tuple[Group, Stance]], moment: float) -> Image.Image:
    picture = empty.copy()
    poses = _poses(clip, [stance.radius for _, stance in cast], moment)
    for (group, stance), pose in zip(cast, poses, strict=True):
        _put_group(picture, group, stance, pose)
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


def _put_group(picture: Image.Image, group: Group, stance: Stance, pose: Pose) -> None:
    size = thing_size(stance, picture.width)
    places = corners(group, stance, pose.centre, picture.width)
    for tilt, (x, y) in zip(stance.tilts, places, strict=True):
        thing = _faded(_thing(group.kind, group.colour, size, tilt - pose.turn), pose.opacity)
        grown = (thing.width - size) // 2
        put(picture, thing, (x - grown, y - grown), size)


@lru_cache(maxsize=8)
def _thing(kind: str, colour: str, size: int, tilt: float) -> Image.Image:
    """Kept from frame to frame: most things do not change on their way, and drawing them takes longest."""
    return sprite(kind, colour, size, tilt, whole=True)


def _faded(thing: Image.Image, opacity: float) -> Image.Image:
    if opacity == 1:
        return thing
    faded = thing.copy()
    faded.putalpha(thing.getchannel("A").point([round(alpha * opacity) for alpha in range(256)]))
    return faded
