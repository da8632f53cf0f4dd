"""What the frames show is what the clip says, and a reversal is the same frames backwards."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from dragoman.errors import MissingExtraError, UserError
from dragoman.media.video import pyav
from dragoman.scenes.backdrops import backdrop
from dragoman.scenes.draws import Draws
from dragoman.scenes.items import read_mp4, write_mp4
from dragoman.scenes.render import CLIP_SIDE, FRAMES, RATE, TURN, clip_frames
from dragoman.scenes.scene import EVENTS, REVERSED, Clip, Group, distinct_clips, reversed_clip

CLIPS = distinct_clips(40, seed=2)
TO_THE_RIGHT_OR_DOWN = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def stars(count: int = 1, kind: str = "star", colour: str = "red", size: str = "big") -> Group:
    return Group(kind=kind, colour=colour, size=size, count=count)  # type: ignore[arg-type]


def over_ground(clip: Clip, key: int) -> list[NDArray[np.uint8]]:
    """How far each pixel of each frame is from the empty ground: the same draws paint it first."""
    empty = backdrop(clip.ground, CLIP_SIDE, Draws(key))
    return [
        np.asarray(ImageChops.difference(frame, empty)).max(-1) for frame in clip_frames(clip, Draws(key))
    ]


def centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """x and y as shares of the picture."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) / CLIP_SIDE


@pytest.mark.parametrize("event", TO_THE_RIGHT_OR_DOWN)
@pytest.mark.parametrize("count", [1, 3])
def test_a_group_goes_where_the_clip_says(event: str, count: int) -> None:
    clip = Clip(ground="room", event=event, first=stars(count))  # type: ignore[arg-type]
    centres = [centre(frame > 60) for frame in over_ground(clip, count)]
    along = np.array(centres) @ TO_THE_RIGHT_OR_DOWN[event]
    across = np.array(centres) @ TO_THE_RIGHT_OR_DOWN[event][::-1]
    assert (np.diff(along) > 0.008).all()
    assert abs((along[-1] - along[0]) - 0.477) < 0.01
    assert np.ptp(across) < 0.02


@pytest.mark.parametrize("ground", ["beach", "snow"])
def test_what_appears_grows_from_nothing_where_it_is(ground: str) -> None:
    clip = Clip(ground=ground, event="appear", first=stars(2), place="left")
    frames = over_ground(clip, 4)
    shown = [int(frame.sum(dtype=np.int64)) for frame in frames]
    assert shown[0] == 0
    assert all(one < other for one, other in itertools.pairwise(shown))
    assert abs(centre(frames[-1] > 60)[0] - 0.262) < 0.03
    disappearing = over_ground(replace(clip, event="disappear"), 4)
    assert [int(frame.sum(dtype=np.int64)) for frame in disappearing] == shown[::-1]


@pytest.mark.parametrize("kind", ["car", "house", "book"])
@pytest.mark.parametrize(("event", "sign"), [("clockwise", -1), ("anticlockwise", 1)])
def test_things_turn_about_themselves_the_way_the_clip_says(kind: str, event: str, sign: int) -> None:
    clip = Clip(ground="room", event=event, first=stars(1, kind, "black"), place="centre")  # type: ignore[arg-type]
    frames = [frame > 60 for frame in over_ground(clip, 1)]

    def alike(angle: float, later: int) -> float:
        """Overlap of a later frame with the first one, turned anticlockwise by Pillow and put above it."""
        x, y = (centre(frames[0]) * CLIP_SIDE).tolist()
        turned = Image.fromarray(frames[0].astype(np.uint8) * 255).rotate(angle, center=(x, y))
        right, down = np.round((centre(frames[later]) - centre(np.asarray(turned) > 127)) * CLIP_SIDE).astype(
            int
        )
        mask = np.roll(np.asarray(turned) > 127, (down, right), axis=(0, 1))
        return float((mask & frames[later]).sum() / (mask | frames[later]).sum())

    middle = FRAMES // 2
    assert alike(sign * TURN / 2, middle) > alike(0, middle) > 0
    assert alike(sign * TURN / 2, middle) > alike(-sign * TURN / 2, middle) + 0.03
    assert alike(sign * TURN, FRAMES - 1) > 0.65


@pytest.mark.parametrize("relation", ["left", "above"])
@pytest.mark.parametrize("size", ["small", "big"])
def test_two_things_meet_until_they_touch_and_part_again(relation: str, size: str) -> None:
    clip = Clip(
        ground="room",
        event="meet",
        first=stars(1, "ball", "red", size),
        second=stars(1, "box", "blue", size),
        relation=relation,  # type: ignore[arg-type]
    )
    axis = 0 if relation == "left" else 1
    gaps = []
    for frame in clip_frames(clip, Draws(5)):
        pixels = np.asarray(frame).astype(int)
        red = (pixels[..., 0] > 150) & (pixels[..., 1:].max(-1) < 90)
        blue = (pixels[..., 2] > 150) & (pixels[..., 0] < 90)
        gaps.append(centre(blue)[axis] - centre(red)[axis])
    assert all(one > other - 1e-3 for one, other in itertools.pairwise(gaps))
    width = {"small": 2 * 0.068, "big": 2 * 0.112}[size]
    assert abs(gaps[0] - 0.476) < 0.06 and abs(gaps[-1] - width) < 0.06
    backwards = clip_frames(reversed_clip(clip), Draws(5))
    assert [frame.tobytes() for frame in backwards[::-1]] == [
        frame.tobytes() for frame in clip_frames(clip, Draws(5))
    ]


def test_nothing_leaves_the_frame() -> None:
    for number, clip in enumerate(CLIPS):
        for frame in over_ground(clip, number)[:: FRAMES - 1]:
            mask = frame > 60
            assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()), clip


def test_a_reversal_has_the_same_frames_in_the_opposite_order() -> None:
    for number, clip in enumerate(CLIPS[:12]):
        one = [frame.tobytes() for frame in clip_frames(clip, Draws(number))]
        other = [frame.tobytes() for frame in clip_frames(reversed_clip(clip), Draws(number))]
        assert len(one) == FRAMES
        assert Counter(one) == Counter(other)
        assert other == one[::-1] != one


@pytest.mark.parametrize("rate", [1, 2, 4, 8])
def test_sampled_frames_are_those_of_the_reversal(rate: int) -> None:
    sampled = range(0, FRAMES, RATE // rate)
    assert {FRAMES - 1 - number for number in sampled} == set(sampled)


def test_files_of_a_clip_and_its_reversal_hold_the_same_frames_bit_for_bit(tmp_path: Path) -> None:
    for number in (0, 3):
        frames = clip_frames(CLIPS[number], Draws(number))
        write_mp4(tmp_path / "one.mp4", frames, RATE)
        write_mp4(tmp_path / "other.mp4", frames[::-1], RATE)
        one, other = (
            [frame.tobytes() for frame in read_mp4(tmp_path / f"{name}.mp4", 1)] for name in ("one", "other")
        )
        assert len(one) == FRAMES and one == other[::-1]
        seen = np.stack([np.asarray(frame) for frame in read_mp4(tmp_path / "one.mp4", 1)]).astype(int)
        assert np.abs(seen - np.stack([np.asarray(frame) for frame in frames])).mean() < 4
        with pyav().open(tmp_path / "one.mp4") as file:
            video = file.streams.video[0]
            assert (video.codec_context.name, video.width, video.height) == ("h264", CLIP_SIDE, CLIP_SIDE)
            assert [frame.time for frame in file.decode(video)] == [n / RATE for n in range(FRAMES)]


def test_equal_frames_give_equal_files(tmp_path: Path) -> None:
    for name in ("one", "again"):
        write_mp4(tmp_path / name, clip_frames(CLIPS[0], Draws(0)), RATE)
    write_mp4(tmp_path / "other", clip_frames(CLIPS[0], Draws(1)), RATE)
    one, again, other = ((tmp_path / name).read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_every_step_th_frame_is_read(tmp_path: Path) -> None:
    write_mp4(tmp_path / "clip.mp4", clip_frames(CLIPS[1], Draws(1)), RATE)
    every = [frame.tobytes() for frame in read_mp4(tmp_path / "clip.mp4", 1)]
    assert [frame.tobytes() for frame in read_mp4(tmp_path / "clip.mp4", 8)] == every[::8]


def test_clips_are_distinct_without_regard_to_direction_and_more_begin_with_fewer() -> None:
    many = distinct_clips(2000, seed=1)
    both = {*many, *map(reversed_clip, many)}
    assert len(both) == 4000
    assert many[:50] == distinct_clips(50, seed=1) != distinct_clips(50, seed=2)
    counted = Counter(clip.event for clip in many)
    assert set(counted) == set(EVENTS) and min(counted.values()) > 140  # 200 each, give or take


def test_every_event_is_the_reversal_of_its_reversal_and_not_of_itself() -> None:
    for event in EVENTS:
        assert REVERSED[REVERSED[event]] == event != REVERSED[event]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"event": "fly"}, "no event 'fly'. Known: appear, disappear, left"),
        ({"place": "left"}, "only what its event 'left' needs"),
        ({"event": "appear"}, "only what its event 'appear' needs: a place for appear"),
        ({"event": "meet"}, "only what its event 'meet' needs"),
        ({"event": "meet", "second": stars(1, "box")}, "only what its event 'meet' needs"),
        ({"event": "meet", "second": stars(1, "box"), "relation": "left", "place": "top"}, "only what"),
        ({"relation": "left", "second": stars(1, "box")}, "only what its event 'left' needs"),
        ({"event": "part", "second": stars(), "relation": "left"}, "Both things are of kind 'star'"),
        ({"event": "part", "second": stars(2, "box"), "relation": "left"}, "Only single things meet or part"),
    ],
)
def test_a_clip_that_contradicts_itself_is_refused(facts: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Clip(**{"ground": "beach", "first": stars(), "event": "left"} | facts)  # type: ignore[arg-type]


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dragoman\[video\]'"):
        pyav()
