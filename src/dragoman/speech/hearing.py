"""From a sound to the words in it, or to "nothing understood".

Recognisers write something for every sound: of silence, music and noise they make up words that follow such
sounds in films. What was understood is told by measures, never by a list of such words. T samples.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from dragoman.errors import UserError
from dragoman.media.sound import LIMITS, RATE, Samples, SoundLimits, read_sound
from dragoman.messages import Message
from dragoman.speech.recogniser import Recognised, Recogniser, language_known
from dragoman.texts import worded
from dragoman.translation.engine import one_line

FRAME = RATE // 50
"""Samples of 20 ms, in which speech is steady."""
FAINT = -55.0
"""Decibels below full scale up to which a sound is silence; a quiet voice is at -40."""
STEADY = 3.0
"""Decibels between soft and loud frames up to which a sound is a hum or a hiss: of noise they are 1 apart, of
speech in noise as loud as itself 6."""
SOFT_LOUD = (10, 95)
"""Percentiles of the frames that count as soft and as loud: a click is neither."""
NO_SPEECH, UNSURE = 0.6, -0.7
"""Probability of no speech, and mean logarithm of the probability of a token: where the one is higher and the
other lower, nobody spoke (arXiv 2212.04356, section 4.5). Its -1 is for hours of talk, of which nothing may
be lost; Whisper base writes "you" of a hum that comes and goes with -0.998. Who asks can ask again."""
REPEATED = 2.4
"""Ratio of a text's length to its compressed one, from which on it goes round in a loop (ibidem)."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Words that were understood."""

    text: str
    language: str | None
    """BCP 47; None where the recogniser does not tell."""
    confidence: float = 1.0
    """Probability of the language, 0 to 1; 1 where the user gave it."""
    given: bool = False
    """True where the user gave the language."""
    seconds: float = field(default=0.0, compare=False)
    """Wall time that it took."""


class NothingUnderstoodError(UserError):
    """A sound in which no words were understood."""

    def __init__(self) -> None:
        super().__init__(Message("nothing_understood"))


def hear(
    sound: str | Path | bytes,
    recogniser: Recogniser,
    lang: str | None = None,
    limits: SoundLimits = LIMITS,
) -> Heard:
    """Find the words in a sound file, or the content of one, spoken in `lang` (BCP 47) or in any language.

    Raises NothingUnderstoodError for silence, noise, music and mumbling; SoundError for a sound that cannot
    be used; UserError for a language that the recogniser does not know.
    """
    started = perf_counter()
    known = None if lang is None else language_known(lang, recogniser.languages)
    samples = read_sound(sound, limits)
    if is_silent(samples) or is_steady(samples):
        raise NothingUnderstoodError
    found = recogniser.recognise(samples, known)
    if not is_understood(found):
        raise NothingUnderstoodError
    # The tag as it was given: for `pt-BR` a recogniser knows `pt`.
    return Heard(
        text=one_line(found.text),
        language=lang or found.language,
        confidence=found.confidence,
        given=lang is not None,
        seconds=perf_counter() - started,
    )


def is_silent(samples: Samples) -> bool:
    """Tell if nothing in a sound is loud enough for a voice."""
    return bool(_levels(samples)[1] <= FAINT)


def is_steady(samples: Samples) -> bool:
    """Tell if a sound is as loud at all times: syllables are not."""
    soft, loud = _levels(samples)
    return bool(loud - soft <= STEADY)


def is_understood(found: Recognised) -> bool:
    """Tell if words were said, and not made up, by the measures of a recogniser, as far as it tells them."""
    if found.units:
        return worded(found.text)
    nobody = found.no_speech is not None and found.no_speech > NO_SPEECH
    unsure = found.log_probability is not None and found.log_probability < UNSURE
    return worded(found.text) and not (nobody and unsure) and repetition(found.text) <= REPEATED


def repetition(text: str) -> float:
    """Ratio of the length of a text in bytes to that of its compressed form; 0 of an empty one."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def _levels(samples: Samples) -> tuple[float, float]:
    """Decibels below full scale of soft and of loud frames; a sound shorter than a frame is silence."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return -np.inf, -np.inf
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    soft, loud = np.percentile(10 * np.log10(np.maximum(power, 1e-12)), SOFT_LOUD)
    return float(soft), float(loud)
