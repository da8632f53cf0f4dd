"""Whisper (Radford et al., 2022, arXiv 2212.04356), whatever library computes it.

A sound is 30 seconds of a log-mel spectrogram, with silence behind it; a decoder is prompted with the
language and writes. T samples, M mel bands, F = 3,000 frames, V tokens.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.languages import canonical_tag, comparable
from dragoman.media.sound import RATE, Samples
from dragoman.speech.recogniser import Recognised, Recogniser

SECONDS = 30
WINDOW, HOP = 400, 160
"""Samples of a frame, and from one to the next (section 2.2)."""
START, NO_SPEECH = "<|startoftranscript|>", ("<|nospeech|>", "<|nocaptions|>")
"""The first token, after which the probabilities of the languages and of no speech are read (section 2.3);
the latter has two names."""
BEFORE = "<|startofprev|>"
"""Token behind which stands what was said before (section 2.3): words that are expected are taken for it."""
MOST_BEFORE = 223
"""Tokens of it: the authors' `decoding.py`."""
TASK = ("<|transcribe|>", "<|notimestamps|>")
MOST_TOKENS = 224
"""Tokens of a text: half of the positions, as in the authors' `decoding.py`."""
BEAMS = 5
"""Texts that are followed at once (section 4.5)."""
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


class Written(NamedTuple):
    """Text that a decoder wrote, as tokens."""

    ids: Sequence[int]
    log_probability: float
    """Mean over the tokens and the end."""
    no_speech: float


class Whisper(Recogniser):
    """A Whisper model; `E` is what its encoder gives, in the form of its library."""

    bands = 80
    """M."""

    def __init__(self, tokens: Sequence[str], *, multilingual: bool) -> None:
        """`tokens` are the special ones; a model of English alone has no use for those of languages."""
        found = (_LANGUAGE.fullmatch(token) for token in tokens)
        codes = [one[1] for one in found if one] if multilingual else []
        self._codes = {canonical_tag(code): code for code in codes}
        self.languages = tuple(self._codes) or ("en",)

    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        encoded = self._encoded(log_mel(samples, self.bands))
        if lang is None and self._codes:
            lang, confidence = self._spoken(encoded)
        else:
            lang, confidence = lang or "en", 1.0
        language = [f"<|{self._codes[lang]}|>"] if self._codes else []
        prompt = [START, *language, *(TASK if language else TASK[1:])]
        words = self.expected(lang)
        if words:
            prompt = [BEFORE, *self._tokens(f" {words}")[:MOST_BEFORE], *prompt]
        written = self._written(encoded, prompt)
        return Recognised(
            text=self._text(written.ids).strip(),
            language=lang,
            confidence=confidence,
            no_speech=written.no_speech,
            log_probability=written.log_probability,
        )

    def _spoken(self, encoded: Any) -> tuple[str, float]:
        """The likeliest language by its tag, and its probability among all."""
        probabilities = self._languages(encoded)
        best = max(probabilities, key=lambda code: probabilities[code])
        return comparable(best), probabilities[best]

    @abstractmethod
    def _encoded(self, mel_MF: NDArray[np.float32]) -> Any:
        """E of a spectrogram."""

    @abstractmethod
    def _languages(self, encoded: Any) -> dict[str, float]:
        """Probabilities of languages by their codes; their sum is 1."""

    @abstractmethod
    def _written(self, encoded: Any, prompt: list[str]) -> Written:
        """The likeliest text behind a prompt, of at most `MOST_TOKENS`."""

    @abstractmethod
    def _tokens(self, text: str) -> list[str]:
        """Tokens of a text, without special ones."""

    @abstractmethod
    def _text(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""


def log_mel(samples: Samples, bands: int, length: int = SECONDS * RATE) -> NDArray[np.float32]:
    """[M, F] as the authors' `audio.py`: logarithm to the base 10 of the power in mel bands of a Hann window,
    cut 8 below its maximum, then (x + 4) / 4. Of the first `length` samples, or with silence up to it."""
    padded = np.pad(samples[:length], (0, max(0, length - len(samples))))
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    log_MF = np.log10(np.maximum(mel_filters(bands) @ window_power(padded[:-1]).T, 1e-10))
    log_MF = (np.maximum(log_MF, log_MF.max() - 8) + 4) / 4
    return np.ascontiguousarray(log_MF, np.float32)


def window_power(samples: Samples) -> NDArray[np.floating]:
    """[N, WINDOW / 2 + 1] power of each frequency in the Hann windows of a sound, one every HOP samples."""
    windows_NW = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    # Periodic: the last sample of the symmetric window is the first of the next.
    window_W = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    return np.asarray(np.abs(np.fft.rfft(windows_NW * window_W)) ** 2)


@cache
def mel_filters(bands: int) -> NDArray[np.float32]:
    """[M, WINDOW / 2 + 1] triangles of equal area on Slaney's scale: linear to 1,000 Hz, then logarithmic."""
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    top = 15 + np.log(RATE / 2 / 1000) / (np.log(6.4) / 27)
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < 15, 200 / 3 * mel, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    area = 2 / (edges[2:] - edges[:-2])[:, None]
    return np.asarray(np.maximum(0, np.minimum(rise, fall)) * area, np.float32)
