"""Small real video files, made with PyAV: every frame is one colour, or one above another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
from PIL import Image

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE, "yellow": YELLOW, "black": (0, 0, 0)}
CODECS = {".webm": "libvpx", ".avi": "mpeg4", ".mpg": "mpeg2video", ".wmv": "wmv2", ".flv": "flv1"}


def save_video(
    file: Path,
    colours: Sequence[str],
    times: Sequence[float] | None = None,
    *,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    rotation: int = 0,
    audio: bool = False,
    pixel_shape: Fraction | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
    title: str = "",
    codec: str = "",
    encoder: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Frames of `colours` ("red", or "red/blue" for red above blue), `rate` a second or at `times` (seconds).

    `options` are those of the container, `encoder` those of the codec.
    """
    with av.open(str(file), "w", options=dict(options)) as container:
        if title:
            container.metadata["title"] = title
        codec = codec or CODECS.get(file.suffix, "libx264")
        stream: Any = container.add_stream(codec, rate=rate, options=dict(encoder))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if file.suffix not in (".avi", ".mpg", ".wmv") and codec != "mpeg2video":
            stream.codec_context.time_base = Fraction(1, 1000)
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        if rotation:
            stream.set_display_rotation(rotation)
        sound: Any = (
            container.add_stream("aac" if file.suffix == ".mp4" else "mp3", rate=48000) if audio else None
        )
        for number, name in enumerate(colours):
            frame = _frame(name, size)
            time = times[number] if times else number / rate
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            add_silence(container, sound, seconds=len(colours) / rate)
    return file


def save_slides(file: Path, pictures: Sequence[Path], each: int = 10) -> Path:
    """A second of each picture, all of one size."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(CODECS.get(file.suffix, "libx264"), rate=10)
        for number in range(len(pictures) * each):
            pixels = np.asarray(Image.open(pictures[number // each]).convert("RGB"))
            if not number:
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def save_sound(file: Path, cover: bool = False) -> Path:
    """Half a second of silence, perhaps with a cover picture."""
    with av.open(str(file), "w") as container:
        sound: Any = container.add_stream("aac" if file.suffix == ".m4a" else "mp3", rate=48000)
        if cover:
            picture: Any = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            container.mux(picture.encode(_frame("red", (32, 32))))
            container.mux(picture.encode(None))
        add_silence(container, sound, seconds=0.5)
    return file


def add_silence(container: Any, sound: Any, seconds: float) -> None:
    for start in range(0, int(48000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.pts, frame.sample_rate, frame.time_base = start, 48000, Fraction(1, 48000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def _frame(name: str, size: tuple[int, int]) -> av.VideoFrame:
    bands = [COLOURS[one] for one in name.split("/")]
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for number, band in enumerate(np.array_split(pixels, len(bands))):
        band[:] = bands[number]
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def colour(image: Image.Image, across: float = 0.5, down: float = 0.5) -> str:
    """Name of the colour nearest to that of a pixel; encoders change colours a little."""
    pixel = np.array(image.getpixel((int(across * image.width), int(down * image.height))))
    return min(COLOURS, key=lambda name: float(np.abs(pixel - COLOURS[name]).sum()))
