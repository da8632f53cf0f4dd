"""Small real sound files."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.floating]


def tone(hertz: float, seconds: float, rate: int) -> Wave:
    """[T] a sine of half of the full scale."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def save_wav(file: Path, samples: Wave, rate: int, width: int = 2) -> Path:
    """Write [T] or [T, C] samples in -1 to 1 as whole numbers of so many bytes."""
    rows = samples[:, None] if samples.ndim == 1 else samples
    top = 2.0 ** (8 * width - 1)
    numbers = np.clip(np.round(rows * top), -top, top - 1).astype(np.int64)
    if width == 1:
        numbers += 128
    octets = numbers.astype("<i8").view(np.uint8).reshape(*rows.shape, 8)[..., :width]
    with wave.open(str(file), "wb") as opened:
        opened.setnchannels(rows.shape[1])
        opened.setsampwidth(width)
        opened.setframerate(rate)
        opened.writeframes(octets.tobytes())
    return file


def save_any(file: Path, samples: Wave, rate: int, codec: str) -> Path:
    """Write [T, C] samples of one or two channels in a format that FFmpeg writes."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, np.float32), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for one in av.AudioResampler(format=stream.format, layout=layout, rate=rate).resample(frame):
            fifo.write(one)
        size = stream.codec_context.frame_size or 1024
        for one in fifo.read_many(size, partial=True):
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    return file
