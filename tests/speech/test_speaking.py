"""A corpus of spoken captions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_sounds import tone

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.media.sound import RATE, Samples
from dragoman.scenes.world import WorldSettings, write_world
from dragoman.speech import speaking
from dragoman.speech.speaking import SpeakSettings, Voice, drawn_voice, speak, speak_corpus
from dragoman.speech.units import UnitSettings, open_units

SETTINGS = SpeakSettings(voices=("en=en-us", "en=en-gb", "pt_BR=pt-br"))
FEW = UnitSettings(count=12)


def said(text: str, voice: Voice) -> Samples:
    """[T] a syllable for each letter, at a pitch of its own; of the second speed each is longer."""
    seconds = 0.05 if voice.speed == 120 else 0.08
    parts = [tone(300 + 40 * (ord(letter) % 32), seconds, RATE) for letter in text[:20]]
    return np.asarray(np.concatenate(parts) * 0.2, np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    settings = WorldSettings(items=12, captions=2, languages=("es", "pt"), target_captions=True)
    return write_world(tmp_path_factory.mktemp("world") / "world", settings)


@pytest.fixture(autouse=True)
def no_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real" not in request.node.name:
        monkeypatch.setattr(speaking, "speak", said)


def test_voices_are_drawn_for_each_caption_by_itself() -> None:
    drawn = [drawn_voice(SETTINGS, "en", str(number), 0) for number in range(300)]
    assert drawn == [drawn_voice(SETTINGS, "en", str(number), 0) for number in range(300)]
    assert {one.speed for one in drawn} == {120, 150, 180}
    names = {f"{voice}+{variant}" for voice in ("en-us", "en-gb") for variant in SETTINGS.variants}
    assert {one.name for one in drawn} == names
    other = [drawn_voice(SETTINGS, "en", str(number), 1) for number in range(300)]
    assert sum(one == two for one, two in zip(drawn, other, strict=True)) < 30
    assert drawn_voice(SETTINGS, "pt-BR", "a", 0).name.startswith("pt-br+")


def test_captions_by_people_are_spoken_in_units_beside_the_same_items(world: Corpus, tmp_path: Path) -> None:
    settings = SpeakSettings(voices=("en=en-us", "es=es"), splits=("train",), takes=2)
    spoken = speak_corpus(world.folder, tmp_path / "spoken", tmp_path / "units", settings, FEW)
    units = open_units(tmp_path / "units")
    chosen = world.select(role="human", lang=["en", "es"], split="train").table.to_pylist()
    expected = [
        {**one, "caption_id": f"{one['caption_id']}-{take}", "text": units.text(said(one["text"], voice))}
        for one in chosen
        for take in (0, 1)
        for voice in [drawn_voice(settings, one["lang"], one["caption_id"], take)]
    ]
    found = spoken.captions.to_pylist()
    assert [{name: one[name] for name in found[0]} for one in expected] == found
    assert len({one["text"] for one in found}) > len(found) / 2
    assert spoken.items.drop_columns("path").equals(world.items.drop_columns("path"))
    assert (spoken.features("grid").vectors == world.features("grid").vectors).all()


def test_the_same_again_is_what_is_there_and_other_settings_are_refused(
    world: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SpeakSettings(voices=("en=en-us",))
    first = speak_corpus(world.folder, tmp_path / "spoken", tmp_path / "units", settings, FEW)
    # The units that are there are used for another corpus, whose captions they were not fitted on.
    known = (tmp_path / "units" / "codebook.npy").read_bytes()
    other = SpeakSettings(voices=("es=es",), splits=("test",))
    speak_corpus(world.folder, tmp_path / "asked", tmp_path / "units", other)
    assert (tmp_path / "units" / "codebook.npy").read_bytes() == known
    monkeypatch.setattr(speaking, "speak", None)
    again = speak_corpus(world.folder, tmp_path / "spoken", tmp_path / "units", settings, FEW)
    assert again.captions.equals(first.captions)
    with pytest.raises(UserError, match="holds another corpus; it differs in speeds"):
        faster = SpeakSettings(voices=("en=en-us",), speeds=(200,))
        speak_corpus(world.folder, tmp_path / "spoken", tmp_path / "units", faster, FEW)


def test_a_language_without_captions_is_told(world: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no human fr captions in split"):
        speak_corpus(world.folder, tmp_path / "s", tmp_path / "u", SpeakSettings(voices=("fr=fr",)), FEW)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"voices": ("en",)}, "'en' names no voice of a language"),
        ({"splits": ("dev",)}, "No split dev"),
        ({"variants": ()}, "Name a variant"),
        ({"speeds": (60,)}, "at least 80 words a minute"),
        ({"takes": 0}, "takes must be at least 1, got 0"),
    ],
)
def test_settings_are_checked(given: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SpeakSettings(**{"voices": ("en=en-us",), **given})  # type: ignore[arg-type]


def test_a_program_that_is_missing_is_told_real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sudo apt-get install espeak-ng"):
        speak("a dog", Voice("en-us", 150))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_real_voice_speaks_and_slower_takes_longer() -> None:
    fast, slow = (speak("a dog runs on the beach", Voice("en-us+f3", speed)) for speed in (180, 120))
    assert 1.2 < len(slow) / len(fast) < 2
    assert 1 < len(fast) / RATE < 4 and np.abs(fast).max() > 0.05
    with pytest.raises(UserError, match="does not speak as 'nobody'"):
        speak("a dog", Voice("nobody", 150))
