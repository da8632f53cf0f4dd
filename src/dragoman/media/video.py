"""Frames of a video file that somebody else made: upright, RGB, at chosen times, one in memory at a time."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman.errors import MissingExtraError, UserError
from dragoman.media.clips import Clip
from dragoman.media.frames import spread
from dragoman.media.images import MAX_MEGAPIXELS, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "flv", "ogg", "mxf", "nut"),
    *("mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "ivf", "mp3", "aac", "flac", "wav", "aiff"),
)
"""Readers of FFmpeg that may be used, those of sound so that it is told from damage. Playlists are none: they
name other files, and addresses."""
LOOK = (32, 18)
"""Width and height at which frames are compared to find scenes."""
SLACK = 1e-6
"""Seconds by which a time may miss a frame: containers count in fractions, which floats do not hold."""
RATE = 25
"""Frames a second of a video that does not say."""
LATE = 10
"""Where the first frame comes after a tenth of what a file says it lasts, the file is measured."""
WHOLE = 0.9
"""Share of its own length that a video must reach."""
JUMP = 1.0
"""Seconds by which times may go back. Where they go back further, recordings were joined."""
BACK = (0.0, 5.0, 30.0, math.inf)
"""Seconds before a wanted frame at which decoding begins, one after the other until it is found: some
containers are entered between key frames, or at one that is shown later."""
TILES = 64
"""Frames from which those of a mosaic are chosen."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a video are looked at."""

    every: float = 1.0
    """Seconds between frames, the first of which is at 0."""
    scenes: float | None = None
    """Or the middle frame of every scene: a scene begins where a frame differs from the one before by more
    than this share of full contrast, in the mean over its pixels."""
    most: int = 1024
    """Frames of a video. Where there would be more, so many are spread evenly over it."""

    def __post_init__(self) -> None:
        if not 0 < self.every < float("inf"):
            raise UserError(f"every must be above 0 seconds, got {self.every}")
        if self.scenes is not None and not 0 < self.scenes < 1:
            raise UserError(f"scenes must lie between 0 and 1, got {self.scenes}. Try 0.2")
        if self.most < 1:
            raise UserError(f"most must be at least 1 frame, got {self.most}")


def sampled_frames(
    file: str | Path, sampling: Sampling, max_megapixels: float = MAX_MEGAPIXELS
) -> Iterator[tuple[float, Image]]:
    """Times in seconds from the first frame, and the frame that is shown then.

    Raises ImageError for what is missing, no video, without pictures (audio, with or without a cover),
    larger than `max_megapixels`, broken, joined of several recordings, or breaks off before its end; some
    frames may have come by then.
    Frames that cannot be decoded are passed over: the one before is shown for longer, as in a player.
    """
    return clip_frames(Clip(source=file, max_megapixels=max_megapixels), sampling)


def clip_frames(clip: Clip, sampling: Sampling) -> Iterator[tuple[float, Image]]:
    """As `sampled_frames`, of a clip: the first frame is the one that is shown when the clip begins.

    Times count from the first frame of the video. What lies behind a part is not looked at, nor what lies far
    before it. Raises ImageError also for a part that the video does not have, and for more seconds than the
    clip allows.
    """
    if sampling.scenes is not None:
        middles = _middles(clip, sampling.scenes)
        times: Iterable[float] = [middles[at] for at in spread(len(middles), sampling.most)]
    with _entered(clip) as (video, frames):
        if sampling.scenes is None:
            interval = max(sampling.every, clip.length(video.duration()) / sampling.most)
            times = (clip.start + number * interval for number in itertools.count())
        end = math.inf if clip.end is None else clip.end
        times = itertools.takewhile(lambda time: time < end - SLACK, times)
        shown, again = None, 0
        for time, frame in _shown_at(times, frames):
            again = again + 1 if frame is shown else 0
            shown = frame
            # Times that leap by a mistake of the file would ask for this frame a million times.
            if again > sampling.most + 1:
                reason = f"one frame of it, near second {time:.0f}, is shown for longer than it says it lasts"
                raise ImageError(clip.name, f"{reason}: its times are damaged")
            yield time, _upright(frame, video.pixel_shape)
    if shown is None:
        raise ImageError(clip.name, f"no frame of it is shown from {clip.start:g} seconds on")


def frame_at(file: str | Path, seconds: float, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """The frame that is shown at a time, or the last one: found from the key frame before it.

    Raises ImageError as `sampled_frames` does, but for a file that breaks off later.
    """
    clip, shown = Clip(source=file, start=max(seconds, 0.0), max_megapixels=max_megapixels), None
    with _entered(clip) as (video, frames):
        for time, frame, _ in frames:
            if time > clip.start + SLACK:
                break
            shown = frame
        if shown is None:
            raise ImageError(clip.name, "no frame of it can be decoded there")
        return _upright(shown, video.pixel_shape)


def mosaic(file: str | Path, side: int, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Four frames of a video, spread over it, in the order of reading: a square that shows what happens.

    Raises what `sampled_frames` raises.
    """
    from PIL import Image, ImageOps

    small, tiles, step = side // 2, list["Image.Image"](), 1
    for number, (_, frame) in enumerate(sampled_frames(file, Sampling(every=1e-3, most=4), max_megapixels)):
        # Where a file understates its length, any number of frames comes, and every second is dropped.
        if number % step == 0:
            # A pixel less, so that a line of paper parts them.
            tiles.append(ImageOps.fit(frame, (small - 1, small - 1)))
        if len(tiles) == TILES:
            tiles, step = tiles[::2], 2 * step
    paper = Image.new("RGB", (2 * small, 2 * small), "white")
    for place, at in enumerate(spread(len(tiles), 4)):
        paper.paste(tiles[at], (small * (place % 2) + place % 2, small * (place // 2) + place // 2))
    return paper


class _Video:
    """An open file and its stream of pictures."""

    def __init__(self, clip: Clip, container: Any, stream: Any) -> None:
        self.file, self.container, self.stream = clip.name, container, stream
        shape = stream.sample_aspect_ratio
        self.pixel_shape = float(shape) if shape else 1.0
        """Width of a pixel over its height."""
        self._clip = clip
        self._step = 1 / float(stream.average_rate or RATE)
        self._errors = _errors()

    def length(self) -> float | None:
        """Seconds that the stream says it lasts, if it does."""
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
        """As `length`, or of the whole file with its sound, or as the last picture stored says."""
        known = self.length() or (self.container.duration or 0) / 1e6
        # Some containers count the time before the first frame, which may be longer than all the rest.
        return known if known > LATE * self._first_time() and known > 0 else self._last_time()

    def frames(self) -> Iterator[tuple[float, Any, float]]:
        """Seconds from the first frame, the frame, and until when it is shown at least."""
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
                    f"after {last:.1f} seconds its times go back to {seconds:.1f}: damaged, or two films "
                    "in one file (keep them apart, or join them with a video editor)",
                )
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
        """As `frames`, from about `start` on; none where the file cannot be entered there."""
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
        """For how many seconds a frame is shown at least."""
        return max(float(frame.duration * frame.time_base) if frame.duration else self._step, 2 * SLACK)

    def _decoded(self) -> Iterator[Any]:
        for packet in self._packets():
            self._clip.check()
            try:
                frames = packet.decode()
            except self._errors:
                continue  # a player goes on as well; how far it came is looked at in the end
            for frame in frames:
                # A film may change its size on the way.
                _check_size(self._clip, frame.width, frame.height, self.pixel_shape)
                yield frame

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.container.demux(self.stream)
        except self._errors:
            return

    def _first_time(self) -> float:
        with _opened(self._clip) as again:
            first = next((packet.pts for packet in again._packets() if packet.pts is not None), 0)
        return float(first * self.stream.time_base)

    def _last_time(self) -> float:
        # Opened once more: not every container can be wound back.
        with _opened(self._clip) as again:
            times = [packet.pts for packet in again._packets() if packet.pts is not None]
        return float((max(times) - min(times)) * self.stream.time_base) + self._step if times else 0.0


@contextmanager
def _entered(clip: Clip) -> Iterator[tuple[_Video, Iterator[tuple[float, Any, float]]]]:
    """The video of a clip, and its frames from the one that is shown when the clip begins, or an earlier."""
    for back in BACK:
        with _opened(clip) as video:
            if back >= clip.start:
                yield video, _limited(clip, video.frames())
                return
            frames = _limited(clip, video.frames_from(clip.start - back))
            first = next(frames, None)
            if first is not None and first[0] <= clip.start + SLACK:
                yield video, itertools.chain([first], frames)
                return


def _limited(clip: Clip, frames: Iterator[tuple[float, Any, float]]) -> Iterator[tuple[float, Any, float]]:
    for seconds, frame, until in frames:
        # The length that a file says of itself was looked at before; it may be wrong.
        if clip.end is None or seconds < clip.end:
            clip.require(seconds - clip.start)
        yield seconds, frame, until


@contextmanager
def _opened(clip: Clip) -> Iterator[_Video]:
    av, content, reason = pyav(), _content(clip), None
    errors: tuple[type[Exception], ...] = (*_errors(), ValueError)
    try:
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file", **_most(clip)}
        # Titles in other encodings than UTF-8 are common, and nobody reads them here.
        container = av.open(content, options=options, metadata_errors="replace")
    except errors as error:
        reason = f"not a video of a known format, or damaged at its beginning or end ({_first_line(error)})"
    if reason is not None:
        raise ImageError(clip.name, reason)
    with container:
        yield _Video(clip, container, _pictures(clip, container))


def _content(clip: Clip) -> str | io.BytesIO:
    """What the library opens. Raises ImageError for what is missing or empty."""
    if isinstance(clip.source, bytes):
        if not clip.source:
            raise ImageError(clip.name, "the file is empty")
        return io.BytesIO(clip.source)
    path = Path(clip.source)
    if not path.exists():
        raise ImageError(clip.name, "no such file")
    if not path.is_file():
        raise ImageError(clip.name, "not a file")
    if path.stat().st_size == 0:
        raise ImageError(clip.name, "the file is empty")
    return f"file:{path.absolute()}"


def _pictures(clip: Clip, container: Any) -> Any:
    """The first stream of moving pictures."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kind = "sound" if container.streams.audio else "no pictures"
        cover = " and a cover picture" if container.streams.video else ""
        raise ImageError(clip.name, f"it has no video stream, only {kind}{cover}")
    stream = streams[0]
    if stream.codec_context is None:
        raise ImageError(clip.name, "its codec is not known here")
    width, height = stream.codec_context.width, stream.codec_context.height
    _check_size(clip, width, height, float(stream.sample_aspect_ratio or 1))
    stream.codec_context.options = _most(clip)
    stream.thread_type = "AUTO"
    return stream


def _most(clip: Clip) -> dict[str, str]:
    """The decoder's own limit, also while the file is opened, for which it may decode a frame."""
    # It counts what it pads a frame with; what is beyond the limit itself is named by `_check_size`.
    return {"max_pixels": str(int(2e6 * clip.max_megapixels) + (1 << 20))}


def _check_size(clip: Clip, width: int, height: int, pixel_shape: float) -> None:
    shown = width * max(pixel_shape, 1.0)
    if shown * height > clip.max_megapixels * 1e6:
        raise ImageError(
            clip.name,
            f"{shown:.0f}x{height} is {shown * height / 1e6:.1f} megapixels, more than the limit of "
            f"{clip.max_megapixels:g} (raise --max-megapixels)",
        )


def _shown_at(
    times: Iterable[float], frames: Iterator[tuple[float, Any, float]]
) -> Iterator[tuple[float, Any]]:
    """The frame that is shown at each time; times ascend and may go on for ever."""
    asked = iter(times)
    time, shown, until = next(asked, None), None, 0.0
    for seconds, frame, end in frames:
        while shown is not None and time is not None and time < seconds - SLACK:
            yield time, shown
            time = next(asked, None)
        if time is None:
            return
        shown, until = frame, end
    while shown is not None and time is not None and time < until - SLACK:
        yield time, shown
        time = next(asked, None)


def _middles(clip: Clip, threshold: float) -> list[float]:
    """The middle of every scene."""
    cuts, before, end = [clip.start], None, clip.start
    last = math.inf if clip.end is None else clip.end
    with _entered(clip) as (_, frames):
        for seconds, frame, until in frames:
            if seconds >= last - SLACK:
                break
            if until <= clip.start + SLACK:
                continue
            small = frame.reformat(width=LOOK[0], height=LOOK[1], format="rgb24")
            look = small.to_ndarray().astype(np.int16)
            if before is not None and np.abs(look - before).mean() > threshold * 255:
                cuts.append(seconds)
            before, end = look, min(until, last)
    return [(start + stop) / 2 for start, stop in itertools.pairwise([*cuts, end])]


def _upright(frame: Any, pixel_shape: float) -> Image:
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


def pyav() -> Any:
    """The package that reads videos. Raises MissingExtraError where it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "video", "Reading videos") from None
    return av


def _errors() -> tuple[type[Exception], ...]:
    # Beside its own errors, the library raises those of Python that they stand for.
    return (pyav().error.FFmpegError, OSError, EOFError)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return text[0] if text else type(error).__name__
