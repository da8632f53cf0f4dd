"""Sound files: the samples in them, whatever their format, and which files are refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_sounds import save_any, save_wav, tone
from tiny_videos import save_video

from dragoman.errors import UserError
from dragoman.media import sound
from dragoman.media.sound import RATE, SoundError, SoundLimits, read_sound, resampled

CODECS = {
    ".ogg": "libopus",
    ".webm": "libopus",
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".m4a": "aac",
    ".aiff": "pcm_s16be",
    ".float.wav": "pcm_f32le",
    ".alaw.wav": "pcm_alaw",
}


def pitch(samples: sound.Samples) -> float:
    """The loudest frequency in hertz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def loudness(samples: sound.Samples) -> float:
    """Root of the mean square, apart from the ends, where a codec may fade."""
    return float(np.sqrt(np.mean(samples[RATE // 10 : -RATE // 10] ** 2)))


def refused(source: Path | bytes, said: str, **limits: float) -> None:
    with pytest.raises(SoundError, match=said) as raised:
        read_sound(source, SoundLimits(**limits))  # type: ignore[arg-type]
    name = "sound" if isinstance(source, bytes) else str(source)
    assert str(raised.value) == f"{name}: {raised.value.reason}" and "\n" not in raised.value.reason


@pytest.mark.parametrize(("width", "step"), [(1, 1 / 128), (2, 1 / 32768), (3, 2.0**-23), (4, 2.0**-23)])
def test_whole_numbers_of_every_width_are_samples_in_one_range(
    tmp_path: Path, width: int, step: float
) -> None:
    wanted = np.array([0, 0.5, -0.5, 0.25, -1.0, 127 / 128])
    file = save_wav(tmp_path / "a.wav", wanted, rate=RATE, width=width)
    np.testing.assert_allclose(read_sound(file), wanted, atol=step)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([[0.5, -0.5, 1 / 4], [-0.25, -0.25, 1 / 4]], axis=1)
    file = save_wav(tmp_path / "a.wav", both, rate=RATE)
    np.testing.assert_allclose(read_sound(file), [0.125, -0.375, 0.25], atol=1e-4)
    # As the reader of other formats does.
    left = np.stack([tone(440, 1, 48_000), np.zeros(48_000)], axis=1)
    heard = read_sound(save_any(tmp_path / "a.flac", left, 48_000, "flac"))
    assert loudness(heard) == pytest.approx(0.25 / np.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_is_the_same_at_every_rate(rate: int) -> None:
    def at(rate: int) -> sound.Samples:
        times = np.arange(rate) / rate
        return np.asarray(tone(1000, 1, rate) * np.sin(np.pi * times) ** 2, np.float32)

    np.testing.assert_allclose(resampled(at(rate), rate), at(RATE), atol=1e-6)


def test_what_a_lower_rate_cannot_hold_is_gone_and_does_not_come_back_as_another_tone() -> None:
    both = tone(1000, 1, 48_000) + tone(13_000, 1, 48_000)
    # Taken as every third sample, 13 kHz would be heard at 3 kHz.
    spectrum = np.abs(np.fft.rfft(resampled(np.asarray(both / 2, np.float32), 48_000)[: RATE - 800]))
    assert spectrum[int(3000 * 0.95)] < 1e-3 * spectrum.max()
    assert resampled(np.zeros(0, np.float32), 48_000).shape == (0,)


@pytest.mark.parametrize("suffix", list(CODECS))
def test_every_format_gives_the_sound_that_was_written(tmp_path: Path, suffix: str) -> None:
    file = save_any(tmp_path / f"a{suffix}", tone(440, 2, 48_000)[:, None], 48_000, CODECS[suffix])
    for source in (file, str(file), file.read_bytes()):
        samples = read_sound(source)
        assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
        # Some codecs add up to a frame at each end.
        assert len(samples) == pytest.approx(2 * RATE, abs=RATE // 10)
        assert pitch(samples) == pytest.approx(440, abs=1)
        assert loudness(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.08)


def test_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    film = save_video(tmp_path / "a.mp4", ["red"] * 10, audio=True)
    assert np.abs(read_sound(film)).max() < 1e-3
    refused(save_video(tmp_path / "b.mp4", ["red"] * 10), "it holds no sound, only pictures")


def test_what_is_missing_empty_or_no_sound_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.wav", "no such file")
    refused(tmp_path, "not a file")
    (tmp_path / "empty.ogg").touch()
    refused(tmp_path / "empty.ogg", "the file is empty")
    (tmp_path / "text.wav").write_text("What I look for is a dog.")
    refused(tmp_path / "text.wav", "no sound of a known format, or damaged")
    refused(save_wav(tmp_path / "a.wav", np.zeros(0), rate=RATE), "it holds no sound")
    refused(b"", "the file is empty")


@pytest.mark.parametrize("suffix", [".wav", ".webm", ".mp3", ".flac", ".m4a"])
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    if suffix == ".wav":
        save_wav(file, tone(440, 3, RATE), rate=RATE)
    else:
        save_any(file, tone(440, 3, 48_000)[:, None], 48_000, CODECS[suffix])
    content = file.read_bytes()
    refused(content[: len(content) // 2], r"it breaks off after [01]\.\d of 3\.\d seconds|damaged")
    refused(content[:30], "it is cut off within its head|damaged|no sound of it can be decoded")


def test_a_writer_that_did_not_know_the_length_is_believed(tmp_path: Path) -> None:
    """As espeak-ng writes into a pipe: a length of nearly 2 GiB."""
    content = bytearray(save_wav(tmp_path / "a.wav", tone(440, 1, RATE), rate=RATE).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0x7FFFF000)
    assert len(read_sound(bytes(content))) == RATE


def test_limits_refuse_and_do_not_cut(tmp_path: Path) -> None:
    second = save_wav(tmp_path / "a.wav", tone(440, 1, RATE), rate=RATE)
    assert len(read_sound(second, SoundLimits(max_seconds=1, max_mb=0.033))) == RATE
    refused(second, r"it lasts longer than 0\.9 seconds; say it in fewer words", max_seconds=0.9)
    refused(second, r"it has 0\.0 MB, more than the limit of 0\.03", max_mb=0.03)
    refused(second.read_bytes(), "more than the limit", max_mb=0.03)
    # Ten minutes of silence in 30 kB: it is not decoded to its end.
    long = save_any(tmp_path / "a.flac", np.zeros((600 * RATE, 1)), RATE, "flac")
    assert long.stat().st_size < 200_000
    refused(long, "it lasts longer than 30 seconds")
    with pytest.raises(UserError, match=r"Limits of sound are above 0, not 0 s"):
        SoundLimits(max_seconds=0)


def test_odd_rates_and_channels_are_refused(tmp_path: Path) -> None:
    for rate in (1, 3_999, 384_001, 2_000_000_000):
        file = save_wav(tmp_path / "a.wav", np.zeros(100), rate=rate)
        refused(file, rf"it has {rate:,} samples a second, not 4,000 to 384,000")
    refused(save_wav(tmp_path / "a.wav", np.zeros((100, 9)), rate=RATE), "it has 9 channels, more than 8")


def test_samples_that_are_no_numbers_are_silence(tmp_path: Path) -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 7.0, 0.5] * RATE, np.float32)
    samples = read_sound(save_any(tmp_path / "a.float.wav", odd[:RATE, None], RATE, "pcm_f32le"))
    np.testing.assert_allclose(samples[:5], [0, 0, 0, 1, 0.5])


def test_wav_needs_no_further_package_and_others_name_it(tmp_path: Path) -> None:
    save_wav(tmp_path / "a.wav", tone(440, 1, RATE), rate=RATE)
    save_any(tmp_path / "a.flac", tone(440, 1, RATE)[:, None], RATE, "flac")
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from dragoman.media.sound import read_sound\n"
        "print(len(read_sound('a.wav')))\n"
        "try: read_sound('a.flac')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == str(RATE), done.stderr
    assert "MissingExtraError Reading sound other than WAV needs the package 'av'" in done.stdout
    assert "pip install 'dragoman[speech]'" in done.stdout or "cannot be loaded" in done.stdout


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("sounds")
    files = [save_wav(folder / "a.wav", tone(440, 0.2, RATE), rate=RATE)]
    for suffix, codec in CODECS.items():
        files.append(save_any(folder / f"a{suffix}", tone(440, 0.2, 48_000)[:, None], 48_000, codec))
    return [file.read_bytes() for file in files]


# Where a change falls, as a share of the file or of its head, and the byte that it leaves there.
CHANGE = st.tuples(
    st.booleans(), st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])
)


@settings(max_examples=250, deadline=None)
@given(which=st.integers(0, len(CODECS)), changes=st.lists(CHANGE, max_size=8), kept=st.floats(0.01, 1))
def test_whatever_a_file_holds_ends_in_samples_or_in_one_error(
    which: int, changes: list[tuple[bool, float, int]], kept: float, sounds: list[bytes]
) -> None:
    content = bytearray(sounds[which])
    for in_head, where, byte in changes:
        # It is in its head that a number says how much of something follows.
        content[int(where * (100 if in_head else len(content)))] = byte
    content = content[: int(kept * len(content)) + 1]
    try:
        samples = read_sound(bytes(content), SoundLimits(max_seconds=5))
    except SoundError as error:
        assert str(error).startswith("sound: ")
    else:
        assert samples.ndim == 1 and np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= 1
        assert len(samples) <= 5 * RATE


def test_a_head_that_ends_early_is_told(tmp_path: Path) -> None:
    content = save_wav(tmp_path / "a.wav", tone(440, 1, RATE), rate=RATE).read_bytes()
    for end in range(1, 44):
        refused(content[:end], "cut off|damaged|no sound")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == RATE
