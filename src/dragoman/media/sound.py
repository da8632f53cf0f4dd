"""Sound that others made, opened without trust: samples of one channel at the rate that recognisers read.

WAV of whole numbers is read by the standard library, everything else (Opus, WebM, Ogg, MP3, FLAC, AAC) by
PyAV. T samples.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman import errors
from dragoman.errors import UserError
from dragoman.media.video import WHOLE, pyav

RATE = 16_000
"""Samples a second of all sound that is read."""
FORMATS = (
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ogg", "matroska", "webm", "amr", "asf"),
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "mpegts", "avi"),
)
"""Readers of FFmpeg that may be used. Playlists are none: they name other files, and addresses."""
RATES = (4_000, 384_000)
"""Samples a second that a file may have: from telephones to studios."""
MOST_CHANNELS = 8
SLACK = 0.2
"""Seconds by which a file may end before it says; the last frames of some are lost with their encoder."""
GUESSED = ("aac", "amr", "mpegts")
"""Formats that do not say how long they last: the reader guesses from their size."""
_UNTOLD = 0x7FFF0000
"""Bytes from which on the stated length of a WAV means that its writer did not know it."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SoundLimits:
    """Limits of sound that is read; what is beyond them is refused, not cut."""

    max_seconds: float = 30.0
    """Whisper reads so much at once."""
    max_mb: float = 20.0
    """Size of a file; half a minute of two channels of a studio takes 12 MB."""

    def __post_init__(self) -> None:
        if not (self.max_seconds > 0 and self.max_mb > 0):
            raise UserError(
                f"Limits of sound are above 0, not {self.max_seconds:g} s and {self.max_mb:g} MB."
            )


LIMITS = SoundLimits()


class SoundError(UserError):
    """A sound that cannot be used; `reason` says why, on one line and without the name of its file."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


def read_sound(source: str | Path | bytes, limits: SoundLimits = LIMITS) -> Samples:
    """[T] samples in -1 to 1, at `RATE`, the mean of all channels.

    `source` is a file, or the content of one. Raises SoundError, which names the file, for what is missing,
    empty, no sound, damaged, cut off before its end, longer or larger than allowed, or of odd rate or
    channels; and MissingExtraError where it takes PyAV, which is not there.
    """
    name = "sound" if isinstance(source, bytes) else str(source)
    try:
        content = _content(source, limits)
        if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
            try:
                return _of_wav(content, limits)
            except (wave.Error, RuntimeError):
                pass  # of floats, compressed, or damaged: its reader raises both
        return _of_any(content, limits)
    except _RefusedError as refusal:
        reason = str(refusal)
    except EOFError:
        reason = "it is cut off within its head"
    raise SoundError(name, reason)


def as_wav(samples: Samples) -> bytes:
    """Write [T] samples in -1 to 1 as a WAV of 16 bits."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()


class _RefusedError(Exception):
    pass


def _content(source: str | Path | bytes, limits: SoundLimits) -> bytes:
    if isinstance(source, bytes):
        size = len(source)
    else:
        path = Path(source)
        if not path.is_file():
            raise _RefusedError("not a file" if path.exists() else "no such file")
        size = path.stat().st_size
    if size > limits.max_mb * 1e6:
        raise _RefusedError(f"it has {size / 1e6:.1f} MB, more than the limit of {limits.max_mb:g}")
    try:
        content = source if isinstance(source, bytes) else path.read_bytes()
    except OSError as error:
        raise _RefusedError(f"it cannot be read ({error.strerror})") from None
    if not content:
        raise _RefusedError("the file is empty")
    return content


def _of_wav(content: bytes, limits: SoundLimits) -> Samples:
    """Read whole numbers. Raises wave.Error for others, EOFError where the head ends early."""
    with wave.open(io.BytesIO(content)) as opened:
        channels, width, rate, stated = opened.getparams()[:4]
        if width > 4:
            raise wave.Error(f"{width} bytes a sample")
        _check(rate, channels)
        data = opened.readframes(len(content) // (channels * width))
    frames = len(data) // (channels * width)
    _check_length(frames / rate, limits)
    if stated * channels * width < _UNTOLD:
        _check_whole(frames / rate, stated / rate)
    if not frames:
        raise _RefusedError("it holds no sound")
    numbers = _numbers(data[: frames * channels * width], width)
    return resampled(numbers.reshape(frames, channels).mean(axis=1, dtype=np.float32), rate)


def _numbers(data: bytes, width: int) -> Samples:
    """Samples in -1 to 1 of little-endian whole numbers; those of one byte have no sign."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    if width == 3:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = padded.tobytes(), 4
    numbers = np.frombuffer(data, f"<i{width}").astype(np.float32)
    return numbers / np.float32(2 ** (8 * width - 1))


def resampled(samples: Samples, rate: int) -> Samples:
    """[T] at `RATE` of samples at another rate, without what only the higher rate can hold.

    By the discrete Fourier transform: of a sound that ends where it begins, it is exact.
    """
    if rate == RATE or not len(samples):
        return samples
    step = rate // math.gcd(rate, RATE)
    length = round(len(samples) * RATE / rate)
    # Whole steps of both rates, and some silence, so that the end does not run into the beginning.
    padded = np.pad(samples, (0, -len(samples) % step + step * math.ceil(rate / 50 / step)))
    count = len(padded) // step * (RATE // math.gcd(rate, RATE))
    spectrum = np.fft.rfft(padded)[: count // 2 + 1]
    found = np.fft.irfft(spectrum, count) * (count / len(padded))
    return np.asarray(np.clip(found[:length], -1, 1), np.float32)


def _of_any(content: bytes, limits: SoundLimits) -> Samples:
    av = pyav("Reading sound other than WAV", "speech")
    # Beside its own errors, the library raises those of Python that they stand for.
    raised: tuple[type[Exception], ...] = (av.error.FFmpegError, OSError, EOFError, ValueError)
    try:
        options = {"format_whitelist": ",".join(FORMATS)}
        with av.open(io.BytesIO(content), options=options, metadata_errors="replace") as container:
            pieces, length = list[Samples](), 0
            for piece in _decoded(av, container, raised):
                pieces.append(piece)
                length += len(piece)
                _check_length(length / RATE, limits)
            said = container.format.name not in GUESSED
            stated = (container.duration or 0) / av.time_base if said else 0.0
    except raised as error:
        # Its own errors say in `strerror` what is wrong, without number and file.
        why = getattr(error, "strerror", None) or errors.reason(error)
        raise _RefusedError(f"no sound of a known format, or damaged ({why})") from None
    if not length:
        raise _RefusedError("no sound of it can be decoded")
    _check_whole(length / RATE, stated)
    found = np.nan_to_num(np.concatenate(pieces), posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(found, -1, 1), np.float32)


def _decoded(av: Any, container: Any, raised: tuple[type[Exception], ...]) -> Iterator[Samples]:
    """Yield the sound of a container piece by piece, each at most as long as a frame of its codec."""
    if not container.streams.audio:
        raise _RefusedError("it holds no sound" + (", only pictures" if container.streams.video else ""))
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise _RefusedError("its codec is not known here")
    resampler: Any = None
    form: object = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except raised:
            continue  # a player goes on as well; how far it came is looked at in the end
        for frame in frames:
            now = (frame.sample_rate, frame.layout.name, frame.format.name)
            if now != form:
                # A file may change on the way.
                _check(frame.sample_rate, frame.layout.nb_channels)
                resampler, form = av.AudioResampler(format="fltp", layout=frame.layout, rate=RATE), now
            # Times are the container's; sound is read as it comes.
            frame.pts = None
            yield from (one.to_ndarray().mean(axis=0) for one in resampler.resample(frame))
    if resampler is not None:
        yield from (one.to_ndarray().mean(axis=0) for one in resampler.resample(None))


def _check(rate: int, channels: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise _RefusedError(f"it has {rate:,} samples a second, not {RATES[0]:,} to {RATES[1]:,}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise _RefusedError(f"it has {channels} channels, more than {MOST_CHANNELS}")


def _check_length(seconds: float, limits: SoundLimits) -> None:
    if seconds > limits.max_seconds:
        raise _RefusedError(f"it lasts longer than {limits.max_seconds:g} seconds; say it in fewer words")


def _check_whole(seconds: float, stated: float) -> None:
    if seconds < WHOLE * stated and seconds + SLACK < stated:
        raise _RefusedError(f"it breaks off after {seconds:.1f} of {stated:.1f} seconds")
