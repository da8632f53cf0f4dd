"""Frames of video files: which, when, which way up, and which files are refused."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_videos import colour, save_sound, save_video

from dragoman.encoders.images import ImageError
from dragoman.encoders.videos import Sampling, frame_at, mosaic, sampled_frames
from dragoman.errors import UserError

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


@pytest.mark.parametrize(
    ("rotation", "top", "bottom", "left", "right"),
    [
        (0, "red", "blue", None, None),
        (90, None, None, "red", "blue"),
        (180, "blue", "red", None, None),
        (270, None, None, "blue", "red"),
    ],
)
def test_turned_films_are_set_upright(
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


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", ["red"], pixel_shape=Fraction(3, 2))
    [(_, image)] = sampled_frames(file, Sampling())
    assert image.size == (96, 48)


def test_one_frame_is_a_film(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".webm"):
        file = save_video(tmp_path / f"a{suffix}", ["green"])
        assert seen(file, every=1) == [(0, "green")]
        assert [name for _, name in seen(file, scenes=0.2)] == ["green"]


def test_so_many_frames_are_spread_over_the_whole_film(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", FOUR)
    assert seen(file, every=0.01, most=8) == [(at / 2, FOUR[at * 5]) for at in range(8)]
    assert seen(file, every=2, most=8) == [(0, "red"), (2, "blue")]


def test_a_film_that_does_not_know_its_length_is_measured(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mkv", FOUR, options={"live": "1"})
    assert [name for _, name in seen(file, every=0.01, most=4)] == ["red", "green", "blue", "yellow"]


def test_scenes_give_their_middle_frames(tmp_path: Path) -> None:
    colours = ["red"] * 4 + ["green"] * 20 + ["blue"] * 2 + ["yellow"] * 14
    file = save_video(tmp_path / "a.mp4", colours)
    assert seen(file, scenes=0.2) == [(0.2, "red"), (1.4, "green"), (2.5, "blue"), (3.3, "yellow")]
    assert [name for _, name in seen(file, scenes=0.2, most=2)] == ["green", "yellow"]
    # From blue to yellow all three channels change, from red to green two.
    assert seen(file, scenes=0.7) == [(1.3, "green"), (3.3, "yellow")]


def test_sound_beside_the_film_changes_nothing(tmp_path: Path) -> None:
    silent, loud = (save_video(tmp_path / f"{n}.mp4", FOUR, audio=n == "b") for n in "ab")
    assert seen(silent, every=0.5) == seen(loud, every=0.5)


def refused(file: Path, message: str, **sampling: float) -> None:
    with pytest.raises(ImageError, match=message):
        seen(file, **sampling)


def test_what_is_no_film_is_refused_by_name(tmp_path: Path) -> None:
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


def test_films_that_are_too_large_are_refused_before_decoding(tmp_path: Path) -> None:
    file = save_video(tmp_path / "a.mp4", ["red"], size=(640, 480))
    with pytest.raises(ImageError, match=r"640x480 is 0\.3 megapixels, more than the limit of 0\.1"):
        next(sampled_frames(file, Sampling(), max_megapixels=0.1))


def noisy(file: Path, **options: str) -> Path:
    """Two seconds whose size is in their pictures."""
    colours = ["red", "green/blue", "blue/red/yellow", "yellow/black"] * 25
    return save_video(file, colours, rate=50, size=(320, 240), options=options)


@pytest.mark.parametrize("sampling", [{"every": 0.1}, {"scenes": 0.01}])
def test_a_film_that_breaks_off_is_refused_with_the_place(tmp_path: Path, sampling: dict[str, float]) -> None:
    whole = noisy(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    refused(tmp_path / "a.mp4", r"it breaks off after [01]\.\d of 2\.0 seconds", **sampling)


def test_a_film_whose_index_is_lost_is_refused(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "a.mp4", "damaged at its beginning or end")


def test_a_film_of_which_no_frame_is_sound_is_refused(tmp_path: Path) -> None:
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


def test_a_playlist_under_the_name_of_a_film_is_not_followed(tmp_path: Path) -> None:
    film = save_video(tmp_path / "secret.ts", FOUR)
    (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{film}\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile '{film}'\n")
    refused(tmp_path / "a.mp4", "not a video of a known format")
    refused(tmp_path / "b.mp4", "not a video of a known format")


WATCH = """
import resource, sys
from dragoman.encoders.videos import Sampling, sampled_frames
peaks = []
for _ in sampled_frames(sys.argv[1], Sampling(every=0.05)):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(len(peaks), (peaks[-1] - peaks[4]) // 1024)
"""


def test_memory_holds_a_frame_and_not_the_film(tmp_path: Path) -> None:
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


def test_a_single_frame_of_a_film_that_begins_late_counts_from_its_first(tmp_path: Path) -> None:
    film = save_video(tmp_path / "late.mkv", ["red", "green"], times=[5.0, 6.0])
    assert [colour(frame_at(film, time)) for time in (0, 0.9, 1)] == ["red", "red", "green"]


def test_a_single_frame_of_what_is_no_film_is_refused(tmp_path: Path) -> None:
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
