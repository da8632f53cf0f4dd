"""A recogniser that hears what a test wants, and sounds for it."""

from __future__ import annotations

import io
import threading
import wave
from dataclasses import dataclass, field

import numpy as np

from dragoman.media.sound import RATE, Samples
from dragoman.speech.recogniser import Recognised, Recogniser


@dataclass
class FakeRecogniser(Recogniser):
    """Hears one sentence in every sound."""

    text: str = "a dog on the beach"
    language: str | None = "en"
    languages: tuple[str, ...] | None = ("en", "pt")
    confidence: float = 0.9
    no_speech: float | None = 0.1
    log_probability: float | None = -0.3
    asked: list[tuple[int, str | None]] = field(default_factory=list)
    """Number of samples and language of each sound."""
    going: threading.Event = field(default_factory=threading.Event)
    """Until it is set, nothing is heard."""

    def __post_init__(self) -> None:
        self.going.set()

    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        self.asked.append((len(samples), lang))
        assert self.going.wait(30)
        return Recognised(
            text=self.text,
            language=lang or self.language,
            confidence=1.0 if lang else self.confidence,
            no_speech=self.no_speech,
            log_probability=self.log_probability,
        )


def syllables(seconds: float = 1.0) -> Samples:
    """[T] a hum that comes and goes four times a second, as a voice does."""
    times = np.arange(round(seconds * RATE)) / RATE
    loud = np.clip(np.sin(2 * np.pi * 4 * times), 0.01, 1)
    return np.asarray(0.3 * loud * np.sin(2 * np.pi * 150 * times), np.float32)


def as_wav(samples: Samples) -> bytes:
    """The content of a file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return content.getvalue()
