"""A video that others made, or a part of it, opened without trust: its frames in order, one at a time."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman import errors
from dragoman.errors import MissingExtraError
from dragoman.media.images import DECODING, Decoding, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "flv", "ogg", "mxf", "nut"),
    *("mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "ivf", "mp3", "aac", "flac", "wav", "aiff"),
)
"""Readers of FFmpeg that may be used, those of sound so that it is told from damage. Playlists are none: they
name other files, and addresses."""
SLACK = 1e-6
"""Seconds by which a time may miss a frame: containers count in fractions, which floats do not hold."""
RATE = 25
"""Frames a second of a video that does not say."""
LATE = 10
"""Times its first second that a file must say it lasts; one that says less is measured instead."""
WHOLE = 0.9
"""Share of its own length that a video must reach."""
JUMP = 1.0
"""Seconds by which times may go back. Where they go back further, recordings were joined."""
BACK = (0.0, 5.0, 30.0, math.inf)
"""Seconds before a wanted frame at which decoding begins, one after the other until it is found: some
containers are entered between key frames, or at one that is shown later."""
# W3C Media Fragments URI 1.0, section 4.2.1, in seconds: #t=3,8 or #t=3 or #t=,8
_PART = re.compile(
    r"(?P<file>.+)#t=(?:npt:)?(?=[\d,])(?P<start>\d+(?:\.\d*)?)?(?:,(?P<end>\d+(?:\.\d*)?))?", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class VideoPart:
    """A video from one second to another, as a query is made with, and how much of it may be read."""

    source: str | Path | bytes
    """A file, or the content of one."""
    start: float = 0.0
    """Seconds from the first frame."""
    end: float | None = None
    """Or later than the video ends; None is its end."""
    decoding: Decoding = DECODING
    max_seconds: float | None = None
    """Longer parts are refused."""
    check: Callable[[], object] = lambda: None
    """Called before each packet is decoded; what it raises ends the reading."""

    def __post_init__(self) -> None:
        if self.end is not None and not self.start < self.end:
            part = f"from {self.start:g} to {self.end:g} seconds"
            raise ImageError(
                self.name, f"the part {part} is empty: a part ends after it begins, as in #t=3,8"
            )

    @classmethod
    def named(cls, name: str | Path) -> VideoPart:
        """Read a name of a file, or of a part as a media fragment says it: `clip.mp4#t=3,8`, in seconds.

        A file that really has such a name is meant whole.
        """
        part = _PART.fullmatch(str(name))
        if part is None or Path(name).exists():
            return cls(source=name)
        end = part["end"]
        return cls(source=part["file"], start=float(part["start"] or 0), end=float(end) if end else None)

    @property
    def name(self) -> str:
        """Name in errors."""
        return "video" if isinstance(self.source, bytes) else str(self.source)

    def length(self, duration: float) -> float:
        """Return the seconds of this part if the video lasts `duration`, or 0 where neither says.

        Raises ImageError for a part that is not there, or is longer than allowed.
        """
        if 0 < duration <= self.start:
            raise ImageError(
                self.name, f"it ends after {duration:.1f} seconds, and the part begins at {self.start:g}"
            )
        ends = [end for end in (duration, self.end) if end]
        length = min(ends) - self.start if ends else 0.0
        self.require(length)
        return length

    def require(self, length: float) -> None:
        """Raise ImageError where `length` is more than `max_seconds`."""
        if self.max_seconds is not None and length > self.max_seconds:
            raise ImageError(
                self.name, f"it lasts {length:.1f} seconds, more than the limit of {self.max_seconds:g}"
            )


class Video:
    """An open file and its stream of pictures."""

    def __init__(self, part: VideoPart, container: Any, stream: Any) -> None:
        self.file, self.container, self.stream = part.name, container, stream
        shape = stream.sample_aspect_ratio
        self.pixel_shape = float(shape) if shape else 1.0
        """Width of a pixel over its height."""
        self._part = part
        self._step = 1 / float(stream.average_rate or RATE)
        self._errors = _errors()

    def length(self) -> float | None:
        """Return the seconds that the stream says it lasts, if it does."""
        # Matroska keeps it there; where it holds a single frame, its duration is that of the sound.
        hours, *rest = self.stream.metadata.get("DURATION", "").split(":")
        try:
            told = int(hours) * 3600 + int(rest[0]) * 60 + float(rest[1])
        except (ValueError, IndexError):
            told = 0.0
        if 0 < told < math.inf:
            return told
        return float(self.stream.duration * self.stream.time_base) if self.stream.duration else None

    def duration(self) -> float:
        """Return `length`, or that of the whole file with its sound, or what the last picture stored says."""
        known = self.length() or (self.container.duration or 0) / 1e6
        # Some containers count the time before the first frame, which may be longer than all the rest.
        return known if known > LATE * self._first_time() and known > 0 else self._last_time()

    def frames(self) -> Iterator[tuple[float, Any, float]]:
        """Yield seconds from the first frame, the frame, and until when it is shown at least.

        Raises ImageError where times go back far, nothing can be decoded, or the file breaks off.
        """
        begin, before, last, end = None, 0.0, -1.0, 0.0
        for frame in self._decoded():
            if frame.pts is None:
                seconds = last + self._step if last >= 0 else 0.0
            else:
                begin = frame.pts if begin is None else begin
                seconds = float((frame.pts - begin) * frame.time_base)
                before = float(begin * frame.time_base)
            if seconds < last - JUMP:
                raise ImageError(
                    self.file,
                    f"after {last:.1f} seconds its times go back to {seconds:.1f}: damaged, or two videos "
                    "in one file (keep them apart, or join them with a video editor)",
                )
            # Frames out of order by a little are common; a player passes over them too.
            if seconds <= last:
                continue
            last, end = seconds, seconds + self._shown(frame)
            yield seconds, frame, end
        if last < 0:
            raise ImageError(self.file, "no frame of it can be decoded")
        # Some containers count the time before the first frame, some do not.
        length, end = self.length(), end + max(before, 0.0)
        if length is not None and end < WHOLE * length and end + self._step < length:
            raise ImageError(self.file, f"it breaks off after {end:.1f} of {length:.1f} seconds")

    def frames_from(self, start: float) -> Iterator[tuple[float, Any, float]]:
        """Yield as `frames` from about `start` seconds on; nothing where the file cannot be entered there."""
        begin = next((frame.pts for frame in self._decoded()), None)
        if begin is None:
            return
        try:
            self.container.seek(begin + int(start / self.stream.time_base), stream=self.stream)
        except self._errors:
            return
        for frame in self._decoded():
            if frame.pts is not None:
                seconds = float((frame.pts - begin) * frame.time_base)
                yield seconds, frame, seconds + self._shown(frame)

    def _shown(self, frame: Any) -> float:
        """Return for how many seconds a frame is shown at least."""
        return max(float(frame.duration * frame.time_base) if frame.duration else self._step, 2 * SLACK)

    def _decoded(self) -> Iterator[Any]:
        for packet in self._packets():
            self._part.check()
            try:
                frames = packet.decode()
            except self._errors:
                continue  # a player goes on as well; how far it came is looked at in the end
            for frame in frames:
                # A video may change its size on the way.
                _check_size(self._part, frame.width, frame.height, self.pixel_shape)
                yield frame

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.container.demux(self.stream)
        except self._errors:
            return

    def _first_time(self) -> float:
        with _opened(self._part) as again:
            first = next((packet.pts for packet in again._packets() if packet.pts is not None), 0)
        return float(first * self.stream.time_base)

    def _last_time(self) -> float:
        # Opened once more: not every container can be wound back.
        with _opened(self._part) as again:
            times = [packet.pts for packet in again._packets() if packet.pts is not None]
        return float((max(times) - min(times)) * self.stream.time_base) + self._step if times else 0.0


@contextmanager
def entered(part: VideoPart) -> Iterator[tuple[Video, Iterator[tuple[float, Any, float]]]]:
    """Open the video of a part, with its frames from the one shown when the part begins, or an earlier."""
    for back in BACK:
        with _opened(part) as video:
            if back >= part.start:
                yield video, _limited(part, video.frames())
                return
            frames = _limited(part, video.frames_from(part.start - back))
            first = next(frames, None)
            if first is not None and first[0] <= part.start + SLACK:
                yield video, itertools.chain([first], frames)
                return


def _limited(
    part: VideoPart, frames: Iterator[tuple[float, Any, float]]
) -> Iterator[tuple[float, Any, float]]:
    for seconds, frame, until in frames:
        # The length that a file says of itself was looked at before; it may be wrong.
        if part.end is None or seconds < part.end:
            part.require(seconds - part.start)
        yield seconds, frame, until


@contextmanager
def _opened(part: VideoPart) -> Iterator[Video]:
    av, content, reason = pyav(), _content(part), None
    raised: tuple[type[Exception], ...] = (*_errors(), ValueError)
    try:
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file", **_most(part)}
        # Titles in other encodings than UTF-8 are common, and they are not read here.
        container = av.open(content, options=options, metadata_errors="replace")
    except raised as error:
        # Its own errors say in `strerror` what is wrong, without number and file.
        said = getattr(error, "strerror", None) or errors.reason(error)
        reason = f"not a video of a known format, or damaged at its beginning or end ({said})"
    if reason is not None:
        raise ImageError(part.name, reason)
    with container:
        yield Video(part, container, _pictures(part, container))


def _content(part: VideoPart) -> str | io.BytesIO:
    """Return what the library opens. Raises ImageError for what is missing or empty."""
    if isinstance(part.source, bytes):
        if not part.source:
            raise ImageError(part.name, "the file is empty")
        return io.BytesIO(part.source)
    path = Path(part.source)
    if not path.exists():
        raise ImageError(part.name, "no such file")
    if not path.is_file():
        raise ImageError(part.name, "not a file")
    if path.stat().st_size == 0:
        raise ImageError(part.name, "the file is empty")
    # With a scheme, so that a name such as `concat:a|b` or `http:…` is a file and no protocol.
    return f"file:{path.absolute()}"


def _pictures(part: VideoPart, container: Any) -> Any:
    """Find the first stream of moving pictures, and limit its decoder."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kind = "sound" if container.streams.audio else "no pictures"
        cover = " and a cover picture" if container.streams.video else ""
        raise ImageError(part.name, f"it has no video stream, only {kind}{cover}")
    stream = streams[0]
    if stream.codec_context is None:
        raise ImageError(part.name, "its codec is not known here")
    width, height = stream.codec_context.width, stream.codec_context.height
    _check_size(part, width, height, float(stream.sample_aspect_ratio or 1))
    stream.codec_context.options = _most(part)
    # By slices or by frames, whichever the codec can: the pictures are the same.
    stream.thread_type = "AUTO"
    return stream


def _most(part: VideoPart) -> dict[str, str]:
    # The decoder has a limit of its own, needed already while the file is opened: it may decode a frame then.
    # It counts what it pads a frame with; what is beyond the limit itself is named by `_check_size`.
    return {"max_pixels": str(int(2e6 * part.decoding.max_megapixels) + (1 << 20))}


def _check_size(part: VideoPart, width: int, height: int, pixel_shape: float) -> None:
    shown = width * max(pixel_shape, 1.0)
    if shown * height > part.decoding.max_megapixels * 1e6:
        raise ImageError(
            part.name,
            f"{shown:.0f}x{height} is {shown * height / 1e6:.1f} megapixels, more than the limit of "
            f"{part.decoding.max_megapixels:g} (raise --max-megapixels)",
        )


def upright(frame: Any, pixel_shape: float) -> Image:
    """Turn a decoded frame into a picture with square pixels, the way up that a player shows it."""
    from PIL.Image import Transpose

    image: Image = frame.to_image()
    if abs(pixel_shape - 1) > 0.01:
        image = image.resize((max(1, round(image.width * pixel_shape)), image.height))
    written = frame.side_data.get("DISPLAYMATRIX")
    if written is None:
        return image
    # A pixel at (x, y) is shown at (a x + c y, b x + d y), but for where that begins. Cameras write quarter
    # turns and mirrorings.
    a, b, _, c, d = (float(number) for number in np.frombuffer(written, "=i4", 5))
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(Transpose.TRANSPOSE), c, b
    image = image.transpose(Transpose.FLIP_LEFT_RIGHT) if a < 0 else image
    return image.transpose(Transpose.FLIP_TOP_BOTTOM) if d < 0 else image


def pyav(what: str = "Reading videos", extra: str = "video") -> Any:
    """Import the package that reads and writes videos and sound. Raises MissingExtraError without it, for
    `what`, which the extra of this name brings."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", extra, what) from None
    return av


def _errors() -> tuple[type[Exception], ...]:
    # Beside its own errors, the library raises those of Python that they stand for.
    return (pyav().error.FFmpegError, OSError, EOFError)
