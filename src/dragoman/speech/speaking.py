"""Captions spoken by espeak-ng, in several voices and speeds, and a corpus of them in units of sound.

A model that learned from such a corpus is asked by the same units: `recognisers/units.py`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.arrow import pa
from dragoman.corpus.copies import write_copy
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.folders import stage
from dragoman.languages import comparable
from dragoman.media.sound import Samples, read_sound
from dragoman.progress import bar
from dragoman.records import SPLITS
from dragoman.speech.units import UNITS, Units, UnitSettings, fit_units, open_units

PROGRAM = "espeak-ng"


@dataclass(frozen=True, kw_only=True)
class SpeakSettings:
    """Settings of a corpus of spoken captions."""

    voices: tuple[str, ...]
    """Languages to speak with their voices, as in en=en-us,en=en-gb,es=es."""
    variants: tuple[str, ...] = ("m1", "m2", "m4", "m6", "f1", "f3", "f5", "klatt2")
    """Variants of these voices (`espeak-ng --voices=variant`), of which each caption gets one."""
    speeds: tuple[int, ...] = (120, 150, 180)
    """Words a minute, of which each caption gets one."""
    takes: int = 1
    """Times that each caption is spoken, in other voices and speeds."""
    splits: tuple[str, ...] = ("train", "val")
    """Splits to speak. Questions of test want voices of their own, which training never heard."""
    speak_seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        for one in self.voices:
            if not all(one.partition("=")):
                raise UserError(f"{one!r} names no voice of a language: --voices en=en-us,es=es")
        if unknown := [split for split in self.splits if split not in SPLITS]:
            raise UserError(f"No split {', '.join(unknown)}. Known: {', '.join(SPLITS)}.")
        if not self.variants or not self.speeds or min(self.speeds) < 80:
            raise UserError("Name a variant at least, and speeds of at least 80 words a minute.")
        if self.takes < 1:
            raise UserError(f"takes must be at least 1, got {self.takes}")

    @property
    def by_language(self) -> dict[str, list[str]]:
        """The voices of each language."""
        found: dict[str, list[str]] = {}
        for one in self.voices:
            lang, _, voice = one.partition("=")
            found.setdefault(comparable(lang), []).append(voice)
        return found


class Voice(NamedTuple):
    """A way in which espeak-ng speaks."""

    name: str
    """Its voice, with a variant behind a plus: `en-us+f3`."""
    speed: int
    """Words a minute."""


def speak(text: str, voice: Voice) -> Samples:
    """[T] a text as espeak-ng says it, 16,000 samples a second. Raises UserError without the program, and for
    a voice that it does not know."""
    if shutil.which(PROGRAM) is None:
        raise UserError(f"{PROGRAM} is not installed: sudo apt-get install {PROGRAM}")
    command = [PROGRAM, "-v", voice.name, "-s", str(voice.speed), "--stdout", "--stdin"]
    done = subprocess.run(command, input=text.encode(), capture_output=True)
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip() or "it said nothing"
        raise UserError(
            f"{PROGRAM} does not speak as {voice.name!r}: {said}. List voices: {PROGRAM} --voices"
        )
    return read_sound(done.stdout)


def drawn_voice(settings: SpeakSettings, lang: str, caption_id: str, take: int) -> Voice:
    """Draw voice, variant and speed of a caption; the same for the same settings, whatever else is spoken."""
    draws = random.Random(f"{settings.speak_seed} {take} {caption_id}")
    name = f"{draws.choice(settings.by_language[lang])}+{draws.choice(settings.variants)}"
    return Voice(name, draws.choice(settings.speeds))


def speak_corpus(
    folder: str | Path,
    out: str | Path,
    units: str | Path,
    settings: SpeakSettings,
    unit_settings: UnitSettings | None = None,
) -> Corpus:
    """Write a copy of a corpus whose captions are those that people wrote, spoken, and in units of sound.

    The codebook lies in the folder `units`: one that is there is used, and otherwise it is fitted on the
    captions of train. What is there of the same corpus and settings is returned. Raises UserError where
    there is no such caption, espeak-ng is missing, or a folder holds anything else.
    """
    corpus, target = Corpus.open(folder), Path(out)
    inputs = corpus.fingerprint()
    said = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(settings).items()}
    said |= {"units": str(units)}
    fix = "Give another folder with --out."
    with stage(target, CORPUS, {"inputs": inputs, "spoken": said}, replace=False, fix=fix) as work:
        if work.done is None:
            known = opened(corpus, units, settings, unit_settings or UnitSettings(), inputs)
            captions = pa.Table.from_pylist(list(_spoken(corpus, known, settings)), CAPTIONS)
            write_copy(corpus, work.folder, {"captions": captions}, spoken=said)
    return Corpus.open(target)


def opened(
    corpus: Corpus,
    folder: str | Path,
    settings: SpeakSettings,
    unit_settings: UnitSettings,
    inputs: Mapping[str, str],
) -> Units:
    """Open the units of a folder, or fit them on the captions of train that `settings` speak."""
    if UNITS.is_in(Path(folder)):
        return open_units(folder)
    chosen = _captions(corpus, settings, ("train",))
    # Few captions hold frames enough; those of all languages, and none by its place in the corpus.
    random.Random(unit_settings.unit_seed).shuffle(chosen)
    sounds = (speak(one["text"], drawn_voice(settings, one["lang"], one["caption_id"], 0)) for one in chosen)
    return fit_units(sounds, folder, unit_settings, inputs)


def _spoken(corpus: Corpus, units: Units, settings: SpeakSettings) -> Iterator[dict[str, Any]]:
    chosen = _captions(corpus, settings, settings.splits)
    with bar(len(chosen) * settings.takes, "Speaking", "captions") as progress:
        for caption in chosen:
            for take in range(settings.takes):
                voice = drawn_voice(settings, caption["lang"], caption["caption_id"], take)
                text = units.text(speak(caption["text"], voice))
                progress.update(1)
                if text:
                    ending = f"-{take}" if settings.takes > 1 else ""
                    yield caption | {"caption_id": f"{caption['caption_id']}{ending}", "text": text}


def _captions(corpus: Corpus, settings: SpeakSettings, splits: Sequence[str]) -> list[dict[str, Any]]:
    languages = list(settings.by_language)
    found = corpus.select(role="human", lang=languages, split=list(splits))
    rows: list[dict[str, Any]] = found.require(f"human {' or '.join(languages)} captions").table.to_pylist()
    return rows
