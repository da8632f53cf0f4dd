"""From sounds to words, or to nothing understood."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from fake_recogniser import FakeRecogniser, as_wav, syllables
from tiny_sounds import tone

from dragoman.errors import UserError
from dragoman.media.sound import RATE, Samples, SoundError, SoundLimits
from dragoman.messages import message_of
from dragoman.speech.hearing import (
    Heard,
    NothingUnderstoodError,
    hear,
    is_silent,
    is_steady,
    is_understood,
    repetition,
)
from dragoman.speech.recogniser import Recognised, language_known

TALK = as_wav(syllables())
DRAWS = np.random.default_rng(0)


def decibels(samples: Samples, level: float) -> Samples:
    """The sound at a level below full scale, of the mean square."""
    return np.asarray(samples / np.sqrt(np.mean(samples**2)) * 10 ** (level / 20), np.float32)


def hiss(seconds: float = 3.0) -> Samples:
    return np.asarray(DRAWS.standard_normal(round(seconds * RATE)), np.float32)


def chord(seconds: float = 3.0) -> Samples:
    return np.asarray(sum(tone(hertz, seconds, RATE) for hertz in (262, 330, 392)), np.float32)


def nothing(sound: bytes, recogniser: FakeRecogniser) -> None:
    with pytest.raises(NothingUnderstoodError, match="No words were understood") as raised:
        hear(sound, recogniser)
    told = message_of(raised.value)
    assert told is not None and told.code == "nothing_understood"


def test_words_and_their_language_are_heard(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(TALK)
    recogniser = FakeRecogniser(text="  a dog\n on  the beach ", confidence=0.8)
    for sound in (TALK, tmp_path / "a.wav", str(tmp_path / "a.wav")):
        heard = hear(sound, recogniser)
        assert heard == Heard(text="a dog on the beach", language="en", confidence=0.8, given=False)
    assert recogniser.asked == [(RATE, None)] * 3


def test_a_language_that_is_given_is_asked_for_as_the_recogniser_calls_it() -> None:
    recogniser = FakeRecogniser(text="um cão")
    heard = hear(TALK, recogniser, "pt_BR")
    assert heard == Heard(text="um cão", language="pt_BR", confidence=1.0, given=True)
    assert recogniser.asked == [(RATE, "pt")]


@pytest.mark.parametrize(
    ("asked", "known", "found"),
    [
        ("pt", ("en", "pt"), "pt"),
        ("pt-BR", ("en", "pt"), "pt"),
        ("zh-Hant", ("zh",), "zh"),
        ("nb", ("no", "nn"), "no"),
        ("jw", ("jv",), "jv"),
        ("por", ("pt",), "pt"),
        ("pt-BR", None, "pt"),
        ("yue", None, "yue"),
    ],
)
def test_languages_are_known_under_other_tags(asked: str, known: tuple[str, ...] | None, found: str) -> None:
    assert language_known(asked, known) == found


@pytest.mark.parametrize("lang", ["gl", "tlh", "xx", "nonsense"])
def test_a_language_that_is_not_known_is_told_before_anything_is_read(lang: str) -> None:
    recogniser = FakeRecogniser()
    with pytest.raises(UserError, match=r"is not understood here: type instead") as raised:
        hear(b"no sound", recogniser, lang)
    told = message_of(raised.value)
    assert told is not None and (told.code, told.arguments) == ("speech_language_unknown", {"language": lang})


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE, np.float32),
        np.zeros(10, np.float32) + 0.5,
        decibels(hiss(), -60),
        decibels(syllables(), -70),
    ],
    ids=["digital", "shorter than a frame", "hiss of a microphone", "a voice in the next house"],
)
def test_silence_does_not_reach_the_recogniser(samples: Samples) -> None:
    assert is_silent(samples)
    recogniser = FakeRecogniser()
    nothing(as_wav(samples), recogniser)
    assert recogniser.asked == []


@pytest.mark.parametrize(
    "samples",
    [hiss(), np.convolve(hiss(), [1.0] * 8, "same"), tone(50, 3, RATE), chord()],
    ids=["white", "dull", "mains", "chord"],
)
def test_steady_sounds_do_not_reach_the_recogniser(samples: Samples) -> None:
    samples = decibels(samples, -20)
    assert is_steady(samples) and not is_silent(samples)
    recogniser = FakeRecogniser()
    nothing(as_wav(samples), recogniser)
    assert recogniser.asked == []


@pytest.mark.parametrize("ratio", [20, 10, 5])
def test_a_voice_in_noise_reaches_the_recogniser(ratio: int) -> None:
    talk = decibels(syllables(3), -30)
    mixed = np.asarray(talk + decibels(hiss(), -30 - ratio), np.float32)
    assert not is_steady(mixed) and not is_silent(mixed)
    assert hear(as_wav(mixed), FakeRecogniser()).text == "a dog on the beach"


def test_levels_are_those_of_a_slow_count() -> None:
    """Frames of 320 samples, one at a time; the tenth softest and the fifth loudest of a hundred."""
    samples = np.repeat(np.linspace(0.001, 0.1, 101, dtype=np.float32), 320)
    levels = sorted(
        10 * np.log10(np.mean(samples[at : at + 320].astype(float) ** 2))
        for at in range(0, len(samples), 320)
    )
    assert levels[95] - levels[10] == pytest.approx(18.8, abs=0.1)
    assert not is_steady(samples) and not is_silent(samples)
    # -55 dB is an amplitude of 10 ** (-55 / 20) = 0.00178.
    assert is_silent(np.full(RATE, 0.00177, np.float32)) and not is_silent(np.full(RATE, 0.00179, np.float32))
    # 3 dB are a factor of 1.41 in amplitude.
    for factor, steady in ((1.40, True), (1.42, False)):
        halves = np.repeat(np.array([0.1, 0.1 * factor], np.float32), RATE)
        assert is_steady(halves) == steady


@pytest.mark.parametrize(
    ("measures", "understood"),
    [
        ({"no_speech": 0.59, "log_probability": -1.5}, True),
        ({"no_speech": 0.61, "log_probability": -0.69}, True),
        ({"no_speech": 0.61, "log_probability": -0.71}, False),
        ({"no_speech": None, "log_probability": -1.1}, True),
        ({"no_speech": 0.7, "log_probability": None}, True),
        ({"text": ""}, False),
        ({"text": " … !"}, False),
        ({"text": "you you you you you you you you you you you you"}, False),
        ({"text": "a dog and a dog and a cat"}, True),
        ({"text": "狗在海滩上奔跑"}, True),
    ],
)
def test_what_is_understood_is_told_by_measures(measures: dict[str, object], understood: bool) -> None:
    given = {"text": "a dog", "language": "en", "no_speech": 0.1, "log_probability": -0.3} | measures
    assert is_understood(Recognised(**given)) == understood  # type: ignore[arg-type]
    recogniser = FakeRecogniser(**{k: v for k, v in given.items() if k != "language"})  # type: ignore[arg-type]
    if understood:
        assert hear(TALK, recogniser).text == given["text"]
    else:
        nothing(TALK, recogniser)


def test_repetition_is_the_ratio_of_lengths() -> None:
    text = "ha " * 100
    assert (
        repetition(text) == pytest.approx(300 / len(zlib.compress(text.encode()))) and repetition(text) > 10
    )
    assert repetition("") == 0


def test_a_sound_that_cannot_be_used_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match="no such file"):
        hear(tmp_path / "none.wav", FakeRecogniser())
    with pytest.raises(SoundError, match=r"longer than 0\.5 seconds"):
        hear(TALK, FakeRecogniser(), limits=SoundLimits(max_seconds=0.5))
