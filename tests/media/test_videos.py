"""Frames of video files: which, when, which way up, and which files are refused."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_videos import BLUE, COLOURS, GREEN, RED, YELLOW, add_silence, colour, save_sound, save_video

from dragoman.errors import UserError
from dragoman.media import reading
from dragoman.media.frames import Sampling
from dragoman.media.images import Decoding, ImageError
from dragoman.media.reading import frame_at, mosaic, sampled_frames

FOUR = [name for name in ("red", "green", "blue", "yellow") for _ in range(10)]
"""Four seconds, each of one colour, at ten frames a second."""


def seen(file: Path, **sampling: float) -> list[tuple[float, str]]:
    """Times to the millisecond, and colours."""
    return [(round(time, 3), colour(image)) for time, image in sampled_frames(file, Sampling(**sampling))]  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm", ".ts", ".mpg", ".wmv", ".flv"])
def test_frames_come_every_so_many_seconds_with_the_colour_of_their_time(tmp_path: Path, suffix: str) -> None:
    rate = 25 if suffix == ".mpg" else 10
    file = save_video(tmp_path / f"a{suffix}", [name for name in FOUR for _ in range(rate // 10)], rate=rate)
    count = len(FOUR) * (rate // 10) / rate
    step = count / 8
    expected = [(round(step * at, 3), FOUR[int(at * 5)]) for at in range(8)]
    assert seen(file, every=step) == expected


def test_a_frame_is_seen_when_it_is_shown_not_when_the_next_one_is(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    # At 0.9 the last red frame begins, which is shown until 1.0.
    assert seen(file, every=0.95)[:3] == [(0, "red"), (0.95, "red"), (1.9, "green")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rates_are_read_by_their_times(tmp_path: Path, suffix: str) -> None:
    colours = ["red", "green", "blue", "yellow", "yellow"]
    file = save_video(tmp_path / f"a{suffix}", colours, [0, 0.1, 0.2, 3.0, 3.5])
    assert seen(file, every=0.5) == [
        (0, "red"),
        *[(time, "blue") for time in (0.5, 1, 1.5, 2, 2.5)],
        *[(time, "yellow") for time in (3, 3.5)],
    ]


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mkv", ["red", "green"], [5.0, 6.0])
    assert seen(file, every=1) == [(0, "red"), (1, "green")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv", ".nut"])
def test_videos_may_begin_at_any_time_of_their_clock(tmp_path: Path, suffix: str) -> None:
    """A million seconds are eleven days; 1,024 frames are not spread over those."""
    film = save_video(tmp_path / f"a{suffix}", ["red", "green", "blue"], [1e6, 1e6 + 1, 1e6 + 2])
    usual = [(0, "red"), (0.5, "red"), (1, "green"), (1.5, "green"), (2, "blue")]
    assert seen(film, every=0.5) == usual
    assert [colour(frame_at(film, time)) for time, _ in usual] == [name for _, name in usual]


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi"])
def test_videos_may_begin_before_the_zero_of_their_clock(tmp_path: Path, suffix: str) -> None:
    film = save_video(tmp_path / f"a{suffix}", ["red", "green", "blue"], [-2, -1, 0])
    assert seen(film, every=0.5, most=9)[::2] == [(0, "red"), (1, "green"), (2, "blue")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_frames_may_be_an_hour_apart(tmp_path: Path, suffix: str) -> None:
    film = save_video(tmp_path / f"a{suffix}", ["red", "green", "blue"], [0, 3600, 7199.5])
    assert seen(film, every=1800) == [(0, "red"), (1800, "red"), (3600, "green"), (5400, "green")]
    assert [colour(frame_at(film, time)) for time in (3599.9, 3600, 7199.5)] == ["red", "green", "blue"]
    found = seen(film, every=1, most=8)
    # An eighth is 899.95 seconds or a little more or less; four of them end just before the hour.
    assert [name for _, name in found] in (["red"] * 5 + ["green"] * 3, ["red"] * 4 + ["green"] * 4)
    assert found[-1][0] == pytest.approx(7 / 8 * 7199.6, abs=0.5)


def test_times_that_leap_by_a_mistake_are_refused_not_followed(tmp_path: Path) -> None:
    """At 46 days, in a film that says it lasts three seconds; 1,024 frames of half a second are more."""
    film = save_video(tmp_path / "a.mkv", ["red", "green", "blue"], [0, 1, 4e6])
    content = film.read_bytes()
    assert content.count(b"1111:06:40.1") == 1
    film.write_bytes(content.replace(b"1111:06:40.1", b"0000:00:03.0"))
    refused(film, "one frame of it, near second 514, is shown for longer than it says it lasts", every=0.5)


def test_a_length_of_zero_is_measured(tmp_path: Path) -> None:
    film = save_video(tmp_path / "a.mp4", FOUR)
    content = bytearray(film.read_bytes())
    for name, place in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = content.index(name) + place
        content[at : at + 4] = bytes(4)
    film.write_bytes(bytes(content))
    assert seen(film, every=0.01, most=4) == [(0, "red"), (1, "green"), (2, "blue"), (3, "yellow")]


@pytest.mark.parametrize(
    ("rotation", "top", "bottom", "left", "right"),
    [
        (0, "red", "blue", None, None),
        (90, None, None, "red", "blue"),
        (180, "blue", "red", None, None),
        (270, None, None, "blue", "red"),
    ],
)
def test_turned_videos_are_set_upright(
    tmp_path: Path, rotation: int, top: str | None, bottom: str | None, left: str | None, right: str | None
) -> None:
    file = save_video(tmp_path / "a.mp4", ["red/blue"] * 3, rotation=rotation)
    [(_, image)] = sampled_frames(file, Sampling())
    assert image.size == ((48, 64) if rotation in (90, 270) else (64, 48))
    edges = {top: (0.5, 0.1), bottom: (0.5, 0.9), left: (0.1, 0.5), right: (0.9, 0.5)}
    for name, place in edges.items():
        assert name is None or colour(image, *place) == name


def test_a_phone_held_upright_says_so_by_a_matrix(tmp_path: Path) -> None:
    """The matrix of a clockwise quarter turn, written by hand: what is on top was on the left."""
    file = save_video(tmp_path / "a.mp4", ["red/blue"] * 3)
    content, one = file.read_bytes(), 1 << 16
    still = b"".join(number.to_bytes(4, "big") for number in (one, 0, 0, 0, one, 0, 0, 0, 1 << 30))
    place = content.index(still, content.index(b"tkhd"))
    turn = (0, one, 0, (1 << 32) - one, 0, 0, 0, 0, 1 << 30)
    matrix = b"".join(number.to_bytes(4, "big") for number in turn)
    file.write_bytes(content[:place] + matrix + content[place + 36 :])
    [(_, image)] = sampled_frames(file, Sampling())
    assert (image.size, colour(image, 0.1), colour(image, 0.9)) == ((48, 64), "blue", "red")


ONE = 1 << 16


@pytest.mark.parametrize(
    ("matrix", "top_left", "top_right", "bottom_left"),
    [
        ((ONE, 0, 0, 0, ONE), "red", "green", "blue"),
        ((-ONE, 0, 0, 0, ONE), "green", "red", "yellow"),
        ((ONE, 0, 0, 0, -ONE), "blue", "yellow", "red"),
        ((-ONE, 0, 0, 0, -ONE), "yellow", "blue", "green"),
        ((0, ONE, 0, ONE, 0), "red", "blue", "green"),
        ((0, -ONE, 0, -ONE, 0), "yellow", "green", "blue"),
        ((0, ONE, 0, -ONE, 0), "blue", "red", "yellow"),
        ((0, -ONE, 0, ONE, 0), "green", "yellow", "red"),
        ((0, 0, 0, 0, 0), "red", "green", "blue"),
    ],
)
def test_mirrored_videos_are_shown_as_a_player_shows_them(
    tmp_path: Path, matrix: tuple[int, ...], top_left: str, top_right: str, bottom_left: str
) -> None:
    """A point (x, y) is shown at (a x + c y, b x + d y): the corners are worked out by hand."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        corners = np.array([[RED, GREEN], [BLUE, YELLOW]], np.uint8).repeat(24, 0).repeat(32, 1)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corners, format="rgb24")))
        container.mux(stream.encode(None))
    content = (tmp_path / "a.mp4").read_bytes()
    place = content.index(struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), content.index(b"tkhd"))
    written = struct.pack(">9i", *matrix, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content[:place] + written + content[place + 36 :])
    [(_, image)] = sampled_frames(tmp_path / "a.mp4", Sampling())
    found = (colour(image, 0.2, 0.2), colour(image, 0.8, 0.2), colour(image, 0.2, 0.8))
    assert (image.size, found) == (
        (48, 64) if matrix[1] else (64, 48),
        (top_left, top_right, bottom_left),
    )


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", ["red"], pixel_shape=Fraction(3, 2))
    [(_, image)] = sampled_frames(file, Sampling())
    assert image.size == (96, 48)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".webm"):
        file = save_video(tmp_path / f"a{suffix}", ["green"])
        assert seen(file, every=1) == [(0, "green")]
        assert [name for _, name in seen(file, scenes=0.2)] == ["green"]


def test_so_many_frames_are_spread_over_the_whole_video(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    assert seen(file, every=0.01, most=8) == [(at / 2, FOUR[at * 5]) for at in range(8)]
    assert seen(file, every=2, most=8) == [(0, "red"), (2, "blue")]


def test_a_video_that_does_not_know_its_length_is_measured(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mkv", FOUR, options={"live": "1"})
    assert [name for _, name in seen(file, every=0.01, most=4)] == ["red", "green", "blue", "yellow"]


def test_scenes_give_their_middle_frames(tmp_path: Path) -> None:
    colours = ["red"] * 4 + ["green"] * 20 + ["blue"] * 2 + ["yellow"] * 14
    file = save_video(tmp_path / "a.mp4", colours)
    assert seen(file, scenes=0.2) == [(0.2, "red"), (1.4, "green"), (2.5, "blue"), (3.3, "yellow")]
    assert [name for _, name in seen(file, scenes=0.2, most=2)] == ["green", "yellow"]
    # From blue to yellow all three channels change, from red to green two.
    assert seen(file, scenes=0.7) == [(1.3, "green"), (3.3, "yellow")]


def test_sound_beside_the_video_changes_nothing(tmp_path: Path) -> None:
    silent, loud = (save_video(tmp_path / f"{n}.mp4", FOUR, audio=n == "b") for n in "ab")
    assert seen(silent, every=0.5) == seen(loud, every=0.5)


def refused(file: Path, message: str, **sampling: float) -> None:
    with pytest.raises(ImageError, match=message):
        seen(file, **sampling)


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello" * 1000)
    (tmp_path / "folder.mp4").mkdir()
    refused(tmp_path / "gone.mp4", r"gone\.mp4: no such file")
    refused(tmp_path / "empty.mp4", "the file is empty")
    refused(tmp_path / "text.mp4", "not a video of a known format, or damaged at its beginning or end")
    refused(tmp_path / "folder.mp4", "not a file")


@pytest.mark.parametrize(
    ("cover", "said"), [(False, "only sound$"), (True, "only sound and a cover picture$")]
)
def test_sound_alone_is_refused_by_name(tmp_path: Path, cover: bool, said: str) -> None:
    file = save_sound(tmp_path / "a.mp3", cover)
    refused(file.rename(tmp_path / "a.mp4"), f"it has no video stream, {said}")


def test_videos_that_are_too_large_are_refused_before_decoding(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", ["red"], size=(640, 480))
    with pytest.raises(ImageError, match=r"640x480 is 0\.3 megapixels, more than the limit of 0\.1"):
        next(sampled_frames(file, Sampling(), Decoding(max_megapixels=0.1)))


@pytest.mark.parametrize("wide", [60_000, (1 << 31) - 1])
def test_a_video_that_would_be_stretched_beyond_the_limit_is_refused(tmp_path: Path, wide: int) -> None:
    file = save_video(tmp_path / "a.mp4", ["red"], pixel_shape=Fraction(3, 2))
    content = file.read_bytes()
    place = content.index(b"pasp") + 4
    file.write_bytes(content[:place] + struct.pack(">II", wide, 1) + content[place + 8 :])
    refused(file, rf"{64 * wide}x48 is .* megapixels, more than the limit of 100")


def test_a_video_that_grows_beyond_the_limit_is_refused_where_it_does(tmp_path: Path) -> None:
    small = save_video(tmp_path / "small.ts", FOUR)
    large = save_video(tmp_path / "large.ts", FOUR, [4 + at / 10 for at in range(40)], size=(640, 480))
    (tmp_path / "a.ts").write_bytes(small.read_bytes() + large.read_bytes())
    found = []
    with pytest.raises(ImageError, match=r"640x480 is 0\.3 megapixels, more than the limit of 0\.1"):
        for time, image in sampled_frames(tmp_path / "a.ts", Sampling(), Decoding(max_megapixels=0.1)):
            found.append((round(time, 3), colour(image)))
    assert found == [(0, "red"), (1, "green"), (2, "blue"), (3, "yellow")]
    assert [name for _, name in seen(tmp_path / "a.ts")] == ["red", "green", "blue", "yellow"] * 2


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_videos_in_one_file_with_two_clocks_are_refused_not_read_by_half(tmp_path: Path, suffix: str) -> None:
    film = save_video(tmp_path / f"a{suffix}", [name for name in FOUR for _ in range(3)], rate=25)
    film.write_bytes(film.read_bytes() * 2)
    refused(film, r"after 4\.\d seconds its times go back to 0\.\d: damaged, or two videos")


def test_a_title_in_another_encoding_does_not_hinder(tmp_path: Path) -> None:
    film = save_video(tmp_path / "a.avi", FOUR, title="Cafeteria")
    film.write_bytes(film.read_bytes().replace(b"Cafeteria", b"Caf\xe9t\xe9ria"))
    assert [name for _, name in seen(film)] == ["red", "green", "blue", "yellow"]


def test_a_video_without_container_counts_its_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.h264"), "w", format="h264") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for at in range(50):
            pixels = np.full((48, 64, 3), RED if at < 25 else BLUE, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    film = (tmp_path / "a.h264").rename(tmp_path / "a.mp4")
    assert seen(film, every=0.5) == [(0, "red"), (0.5, "red"), (1, "blue"), (1.5, "blue")]
    assert [colour(frame_at(film, time)) for time in (0.9, 1.1)] == ["red", "blue"]


def test_a_still_under_long_sound_is_a_video_of_one_frame(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        picture: Any = container.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound: Any = container.add_stream("mp3", rate=48000)
        pixels = np.full((48, 64, 3), GREEN, np.uint8)
        container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))
        add_silence(container, sound, seconds=9)
    assert seen(tmp_path / "a.mkv") == [(0, "green")]


def noisy(file: Path, **options: str) -> Path:
    """Two seconds whose size is in their pictures."""
    colours = ["red", "green/blue", "blue/red/yellow", "yellow/black"] * 25
    return save_video(file, colours, rate=50, size=(320, 240), options=options)


@pytest.mark.parametrize("sampling", [{"every": 0.1}, {"scenes": 0.01}])
def test_a_video_that_breaks_off_is_refused_with_the_place(
    tmp_path: Path, sampling: dict[str, float]
) -> None:
    whole = noisy(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    refused(tmp_path / "a.mp4", r"it breaks off after [01]\.\d of 2\.0 seconds", **sampling)


def test_a_video_whose_index_is_lost_is_refused(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "a.mp4", "damaged at its beginning or end")


def test_a_video_of_which_no_frame_is_sound_is_refused(tmp_path: Path) -> None:
    file = noisy(tmp_path / "a.mp4")
    content = bytearray(file.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : content.index(b"moov") - 4] = bytes(content.index(b"moov") - 4 - start)
    file.write_bytes(bytes(content))
    refused(file, "no frame of it can be decoded")


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.ts", [name for name in FOUR for _ in range(5)], rate=50)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 188 * 188
    content[middle : middle + 3 * 188] = bytes(3 * 188)
    file.write_bytes(bytes(content))
    found = seen(file, every=0.5)
    assert (found[0], found[-1]) == ((0, "red"), (3.5, "yellow"))


def test_a_playlist_under_the_name_of_a_video_is_not_followed(tmp_path: Path) -> None:
    film = save_video(tmp_path / "secret.ts", FOUR)
    (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{film}\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{film}'\n")
    refused(tmp_path / "a.mp4", "not a video of a known format")
    refused(tmp_path / "b.mp4", "not a video of a known format")


WATCH = """
import resource, sys
from dragoman.media.frames import Sampling
from dragoman.media.reading import sampled_frames
peaks = []
for _ in sampled_frames(sys.argv[1], Sampling(every=0.05)):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(len(peaks), (peaks[-1] - peaks[4]) // 1024)
"""


def test_memory_holds_a_frame_and_not_the_video(tmp_path: Path) -> None:
    """160 frames of 640 x 480 are 147 MB as RGB."""
    file = save_video(tmp_path / "a.mp4", ["red", "blue/green"] * 80, rate=20, size=(640, 480))
    done = subprocess.run([sys.executable, "-c", WATCH, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, grown = map(int, done.stdout.split())
    assert (count, grown < 40) == (160, True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"every": 0}, "every must be above 0 seconds, got 0"),
        ({"every": float("nan")}, "every must be above 0"),
        ({"scenes": 1}, "scenes must lie between 0 and 1, got 1. Try 0.2"),
        ({"most": 0}, "most must be at least 1 frame"),
    ],
)
def test_impossible_samplings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**setting)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("films")
    return {
        suffix: save_video(folder / f"a{suffix}", FOUR).read_bytes() for suffix in (".mp4", ".mkv", ".avi")
    }


@settings(max_examples=60, deadline=None)
@given(
    suffix=st.sampled_from([".mp4", ".mkv", ".avi"]),
    place=st.floats(0, 1),
    damage=st.binary(min_size=1, max_size=40),
    cut=st.floats(0.1, 1),
)
def test_no_damage_gives_anything_but_frames_or_a_reason(
    films: dict[str, bytes], suffix: str, place: float, damage: bytes, cut: float
) -> None:
    content = bytearray(films[suffix])
    at = int(place * len(content))
    content[at : at + len(damage)] = damage
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / f"a{suffix}"
        file.write_bytes(bytes(content[: max(1, int(cut * len(content)))]))
        try:
            found = list(sampled_frames(file, Sampling(every=0.5, most=20)))
        except ImageError as error:
            assert "\n" not in error.reason and len(error.reason) > 5
        else:
            times = [time for time, _ in found]
            assert times == sorted(set(times)) and times[0] == 0
            assert all(image.mode == "RGB" and np.asarray(image).size for _, image in found)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".mpg"])
def test_a_single_frame_is_the_one_that_is_shown_then(tmp_path: Path, suffix: str) -> None:
    film = save_video(tmp_path / f"film{suffix}", ["red"] * 25 + ["green"] * 25 + ["blue"] * 10, rate=25)
    times = [0.0, 0.5, 0.94, 1.06, 1.5, 2.1, 99.0]
    assert [colour(frame_at(film, time)) for time in times] == ["red"] * 3 + ["green"] * 2 + ["blue"] * 2


def test_a_single_frame_of_a_video_that_begins_late_counts_from_its_first(tmp_path: Path) -> None:
    film = save_video(tmp_path / "late.mkv", ["red", "green"], times=[5.0, 6.0])
    assert [colour(frame_at(film, time)) for time in (0, 0.9, 1)] == ["red", "red", "green"]


@pytest.mark.parametrize(
    ("name", "codec", "encoder"),
    [
        ("a.ts", "libx264", {"bf": "3"}),
        ("b.ts", "mpeg2video", {"g": "7", "bf": "2"}),
        ("a.mp4", "mpeg4", {"bf": "2"}),
        ("b.mp4", "libx264", {"bf": "3", "g": "12"}),
        ("a.mkv", "libx264", {"bf": "3", "g": "12"}),
    ],
)
def test_a_single_frame_is_that_of_a_video_decoded_from_its_beginning(
    tmp_path: Path, name: str, codec: str, encoder: dict[str, str]
) -> None:
    order = itertools.product(COLOURS, COLOURS, COLOURS)
    bands = ["/".join(three) for three in order][:100]
    film = save_video(tmp_path / name, bands, rate=25, codec=codec, encoder=encoder)

    def shown(image: Any) -> str:
        return "/".join(colour(image, 0.5, down) for down in (1 / 6, 1 / 2, 5 / 6))

    whole = [(time, shown(image)) for time, image in sampled_frames(film, Sampling(every=0.12))]
    assert [name for _, name in whole] == bands[::3]
    assert [shown(frame_at(film, time)) for time, _ in whole] == [name for _, name in whole]


def test_a_single_frame_counts_from_where_an_edit_list_begins(tmp_path: Path) -> None:
    film = save_video(tmp_path / "a.mp4", FOUR)
    content = film.read_bytes()
    place = content.index(b"elst") + 12
    ticks = int.from_bytes(content[content.index(b"mdhd") + 16 :][:4], "big")
    duration, begin = struct.unpack(">Ii", content[place : place + 8])
    # A second and a half less, as trimming on a phone leaves it.
    film.write_bytes(
        content[:place] + struct.pack(">Ii", duration - 1500, begin + ticks * 3 // 2) + content[place + 8 :]
    )
    expected = [(0, "green"), (0.5, "blue"), (1, "blue"), (1.5, "yellow"), (2, "yellow")]
    assert seen(film, every=0.5) == expected
    assert [colour(frame_at(film, time)) for time, _ in expected] == [name for _, name in expected]


def test_a_single_frame_of_what_is_no_video_is_refused(tmp_path: Path) -> None:
    save_sound(tmp_path / "a.mp3")
    with pytest.raises(ImageError, match="it has no video stream, only sound"):
        frame_at(tmp_path / "a.mp3", 1.0)


def test_a_mosaic_shows_four_frames_in_the_order_of_reading(tmp_path: Path) -> None:
    order = ["red", "green", "blue", "yellow"]
    film = save_video(tmp_path / "film.mp4", [name for name in order for _ in range(20)])
    square = mosaic(film, 40)
    assert square.size == (40, 40)
    corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    assert [colour(square, *corner) for corner in corners] == order
    still = mosaic(save_video(tmp_path / "still.mp4", ["green"]), 40)
    assert colour(still, 0.25, 0.25) == "green"


def test_a_mosaic_of_a_video_that_understates_its_length_is_spread_over_it_and_holds_no_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: set[int] = set()
    most = []

    def endless(*_: object) -> Iterator[tuple[float, Image.Image]]:
        for at in range(1000):
            image = Image.new("RGB", (40, 40), (RED, GREEN, BLUE, YELLOW)[at // 250])
            alive.add(at)
            weakref.finalize(image, alive.discard, at)
            most.append(len(alive))
            yield at / 1000, image

    monkeypatch.setattr(reading, "sampled_frames", endless)
    square = mosaic("film.mp4", 40)
    corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    assert [colour(square, *corner) for corner in corners] == ["red", "green", "blue", "yellow"]
    assert max(most) <= 3
