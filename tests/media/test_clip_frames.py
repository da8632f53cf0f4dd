"""Parts of videos: how they are named, which frames they have, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_videos import colour, save_sound, save_video

from dragoman.errors import MissingExtraError
from dragoman.media import video as videos
from dragoman.media.frames import Sampling
from dragoman.media.images import Decoding, ImageError
from dragoman.media.reading import part_frames, sampled_frames
from dragoman.media.video import VideoPart

FOUR = [name for name in ("red", "green", "blue", "yellow") for _ in range(10)]
"""Four seconds, each of one colour, at ten frames a second."""


def seen(clip: VideoPart, **sampling: float) -> list[tuple[float, str]]:
    """Times to the millisecond, and colours."""
    return [(round(time, 3), colour(image)) for time, image in part_frames(clip, Sampling(**sampling))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "source", "start", "end"),
    [
        ("clip.mp4", "clip.mp4", 0, None),
        ("clip.mp4#t=3,8", "clip.mp4", 3, 8),
        ("clip.mp4#t=62.00,71.50", "clip.mp4", 62, 71.5),
        ("clip.mp4#t=npt:3.5", "clip.mp4", 3.5, None),
        ("clip.mp4#t=3,", "clip.mp4#t=3,", 0, None),
        ("clip.mp4#t=,8", "clip.mp4", 0, 8),
        ("a#t=1,2/clip.mp4#t=3,8", "a#t=1,2/clip.mp4", 3, 8),
        ("clip.mp4#t=", "clip.mp4#t=", 0, None),
        ("clip.mp4#t=1:30", "clip.mp4#t=1:30", 0, None),
        ("clip.mp4#t=-1,2", "clip.mp4#t=-1,2", 0, None),
        ("a#t=1,2.mp4", "a#t=1,2.mp4", 0, None),
    ],
)
def test_a_media_fragment_names_a_part(name: str, source: str, start: float, end: float | None) -> None:
    assert VideoPart.named(name) == VideoPart(source=source, start=start, end=end)
    assert VideoPart.named(Path(name)) == VideoPart(
        source=source if source != name else Path(name), start=start, end=end
    )


def test_a_file_that_really_has_the_name_is_meant_whole(tmp_path: Path) -> None:
    save_video(tmp_path / "a.mp4", FOUR)
    save_video(tmp_path / "b.mp4", ["black"] * 5).rename(tmp_path / "a.mp4#t=1,2")
    assert seen(VideoPart.named(tmp_path / "a.mp4#t=1,2")) == [(0, "black")]
    assert seen(VideoPart.named(tmp_path / "a.mp4#t=1,3")) == [(1, "green"), (2, "blue")]


@pytest.mark.parametrize("part", ["3,3", "8,3"])
def test_a_part_that_ends_before_it_begins_is_refused(part: str) -> None:
    with pytest.raises(ImageError, match=r"clip\.mp4: the part from . to 3 seconds is empty: .* in #t=3,8"):
        VideoPart.named(f"clip.mp4#t={part}")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm", ".ts", ".mpg", ".wmv", ".h264"])
@pytest.mark.parametrize("content", [False, True])
def test_a_part_has_the_frames_that_are_shown_then(tmp_path: Path, suffix: str, content: bool) -> None:
    rate = 10 if suffix != ".h264" else 25
    rate = 25 if suffix == ".mpg" else rate
    colours = [name for name in ("red", "green", "blue", "yellow") for _ in range(rate)]
    file = save_video(tmp_path / f"a{suffix}", colours, rate=rate)
    source = file.read_bytes() if content else file
    part = VideoPart(source=source, start=1.2, end=3.0)
    assert seen(part, every=0.5) == [(1.2, "green"), (1.7, "green"), (2.2, "blue"), (2.7, "blue")]
    assert [name for _, name in seen(VideoPart(source=source, start=2.1))] == ["blue", "yellow"]
    assert seen(VideoPart(source=source, end=1.5)) == [(0, "red"), (1, "green")]


def test_so_many_frames_are_spread_over_the_part(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    part = VideoPart(source=file, start=1, end=3)
    assert seen(part, every=0.01, most=4) == [(1, "green"), (1.5, "green"), (2, "blue"), (2.5, "blue")]
    assert seen(VideoPart(source=file, start=3, end=99), most=4) == [(3, "yellow")]


def test_scenes_of_a_part_give_their_middle_frames(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    # Half a second of green, a second of blue, half a second of yellow.
    assert seen(VideoPart(source=file, start=1.5, end=3.5), scenes=0.2) == [
        (1.75, "green"),
        (2.5, "blue"),
        (3.25, "yellow"),
    ]


def test_what_lies_before_and_behind_a_part_is_not_decoded(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", [name for name in FOUR for _ in range(10)])
    decoded: list[int] = []
    part = VideoPart(source=file, start=21, end=22, check=lambda: decoded.append(1))
    assert seen(part) == [(21, "blue")]
    # Of 400, those from the cut at 20 seconds on, and what is decoded ahead of being shown.
    assert 10 < len(decoded) < 60


def test_a_part_that_the_video_does_not_have_is_refused(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    with pytest.raises(ImageError, match=r"a\.mp4: it ends after 4\.0 seconds, and the part begins at 4$"):
        seen(VideoPart(source=file, start=4))
    stream = save_video(tmp_path / "a.h264", FOUR, rate=25)
    with pytest.raises(ImageError, match="no frame of it is shown from 30 seconds on"):
        seen(VideoPart(source=stream, start=30))


def test_a_video_may_last_so_long_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = save_video(tmp_path / "a.mp4", FOUR).read_bytes()
    assert len(seen(VideoPart(source=content, max_seconds=4))) == 4
    with pytest.raises(ImageError, match=r"^video: it lasts 4\.0 seconds, more than the limit of 3\.9$"):
        seen(VideoPart(source=content, max_seconds=3.9))
    assert len(seen(VideoPart(source=content, start=1, end=3, max_seconds=2))) == 2
    # A file may say that it is shorter than it is.
    monkeypatch.setattr(videos.Video, "duration", lambda _: 0.5)
    with pytest.raises(ImageError, match=r"it lasts 2\.1 seconds, more than the limit of 2$"):
        seen(VideoPart(source=content, max_seconds=2))
    assert len(seen(VideoPart(source=content, end=2, max_seconds=2))) == 2
    with pytest.raises(ImageError, match=r"it lasts 2\.1 seconds, more than the limit of 2$"):
        seen(VideoPart(source=content, max_seconds=2), scenes=0.2)


def test_reading_ends_when_the_check_says_so(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    left = iter(range(12))

    def check() -> None:
        if next(left, None) is None:
            raise RuntimeError("nobody waits any more")

    frames = part_frames(VideoPart(source=file, check=check), Sampling(every=0.1))
    with pytest.raises(RuntimeError, match="nobody waits any more"):
        list(frames)


def test_frames_that_grow_on_the_way_are_refused(tmp_path: Path) -> None:
    small = save_video(tmp_path / "small.ts", ["red"] * 10).read_bytes()
    times = [1 + number / 10 for number in range(10)]
    large = save_video(tmp_path / "large.ts", ["green"] * 10, times, size=(640, 480)).read_bytes()
    grown = VideoPart(source=small + large, decoding=Decoding(max_megapixels=0.1))
    with pytest.raises(ImageError, match=r"^video: 640x480 is 0\.3 megapixels, more than the limit of 0\.1"):
        seen(grown)
    allowed = [(at / 4, "red" if at < 4 else "green") for at in range(8)]
    assert seen(VideoPart(source=small + large), every=0.25) == allowed


OPEN = """
import resource, sys
import av, numpy
from dragoman.media.video import VideoPart
from dragoman.media.images import Decoding, ImageError
from dragoman.media.reading import part_frames
from dragoman.media.frames import Sampling
clip = VideoPart(source=open(sys.argv[1], "rb").read(), decoding=Decoding(max_megapixels=9.0))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    next(part_frames(clip, Sampling()))
except ImageError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""


def test_to_learn_that_a_video_is_too_large_no_frame_is_decoded(tmp_path: Path) -> None:
    """A frame of it has 54 MB, of which a decoder holds several."""
    file = save_video(tmp_path / "a.ts", ["red"], size=(6000, 6000), encoder={"preset": "ultrafast"})
    done = subprocess.run([sys.executable, "-c", OPEN, file], capture_output=True, text=True)
    grown, said = done.stdout.split(" ", 1)
    assert said.startswith("video: 6000x6000 is 36.0 megapixels, more than the limit of 9")
    assert int(grown) < 50


def test_pictures_without_times_are_shown_at_the_usual_rate(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.h264", [name for name in FOUR for _ in range(5)], rate=50)
    found = [colour(image) for _, image in sampled_frames(file, Sampling(every=2))]
    assert found == ["red", "green", "blue", "yellow"]


@pytest.mark.parametrize("content", [False, True])
def test_what_is_no_video_is_refused_by_its_name_or_as_a_video(tmp_path: Path, content: bool) -> None:
    kinds = {"empty": b"", "text": b"hello" * 1000, "sound": save_sound(tmp_path / "a.mp3").read_bytes()}
    for name, reason in (
        ("empty", "the file is empty"),
        ("text", "not a video of a known format"),
        ("sound", "it has no video stream, only sound"),
    ):
        file = tmp_path / f"{name}.mp4"
        file.write_bytes(kinds[name])
        called = "video" if content else str(file)
        with pytest.raises(ImageError, match=f"^{called}: {reason}"):
            seen(VideoPart(source=kinds[name] if content else file))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"'dragoman\[video\]'"):
        seen(VideoPart(source=b"anything"))
