"""Frames of a video at chosen times: upright, RGB, one in memory at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman.media.frames import Sampling, spread
from dragoman.media.images import DECODING, Decoding, ImageError
from dragoman.media.video import SLACK, VideoPart, entered, upright

if TYPE_CHECKING:
    from PIL.Image import Image

LOOK = (32, 18)
"""Width and height at which frames are compared to find scenes."""
TILES = 64
"""Frames from which those of a mosaic are chosen."""


def sampled_frames(
    file: str | Path, sampling: Sampling, decoding: Decoding = DECODING
) -> Iterator[tuple[float, Image]]:
    """Yield times in seconds from the first frame, and the frame that is shown then.

    Raises ImageError for a file that is missing, no video, without pictures (audio, with or without a cover),
    of frames larger than allowed, broken, joined of several recordings, or that breaks off before its end;
    some frames may have come by then. Frames that cannot be decoded are passed over: the one before is shown
    for longer, as in a player.
    """
    return part_frames(VideoPart(source=file, decoding=decoding), sampling)


def part_frames(part: VideoPart, sampling: Sampling) -> Iterator[tuple[float, Image]]:
    """Yield as `sampled_frames`, of a part: the first frame is the one that is shown when the part begins.

    Times count from the first frame of the video. What lies behind the part is not looked at, nor what lies
    far before it. Raises ImageError also for a part that the video does not have, and for more seconds than
    it allows.
    """
    if sampling.scenes is not None:
        middles = _middles(part, sampling.scenes)
        times: Iterable[float] = [middles[at] for at in spread(len(middles), sampling.most)]
    with entered(part) as (video, frames):
        if sampling.scenes is None:
            interval = max(sampling.every, part.length(video.duration()) / sampling.most)
            times = (part.start + number * interval for number in itertools.count())
        end = math.inf if part.end is None else part.end
        times = itertools.takewhile(lambda time: time < end - SLACK, times)
        shown, again = None, 0
        for time, frame in _shown_at(times, frames):
            again = again + 1 if frame is shown else 0
            shown = frame
            # Times that leap by a mistake of the file would ask for this frame a million times.
            if again > sampling.most + 1:
                reason = f"one frame of it, near second {time:.0f}, is shown for longer than it says it lasts"
                raise ImageError(part.name, f"{reason}: its times are damaged")
            yield time, upright(frame, video.pixel_shape)
    if shown is None:
        raise ImageError(part.name, f"no frame of it is shown from {part.start:g} seconds on")


def frame_at(file: str | Path, seconds: float, decoding: Decoding = DECODING) -> Image:
    """Read the frame that is shown at a time, or the last one: found from the key frame before it.

    Raises ImageError as `sampled_frames` does, but for a file that breaks off later.
    """
    part, shown = VideoPart(source=file, start=max(seconds, 0.0), decoding=decoding), None
    with entered(part) as (video, frames):
        for time, frame, _ in frames:
            if time > part.start + SLACK:
                break
            shown = frame
        if shown is None:
            raise ImageError(part.name, "no frame of it can be decoded there")
        return upright(shown, video.pixel_shape)


def mosaic(file: str | Path, side: int, decoding: Decoding = DECODING) -> Image:
    """Draw four frames of a video, spread over it, in the order of reading: a square that shows what happens.

    Raises what `sampled_frames` raises.
    """
    from PIL import Image, ImageOps

    small, tiles, step = side // 2, list["Image.Image"](), 1
    for number, (_, frame) in enumerate(sampled_frames(file, Sampling(every=1e-3, most=4), decoding)):
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


def _shown_at(
    times: Iterable[float], frames: Iterator[tuple[float, Any, float]]
) -> Iterator[tuple[float, Any]]:
    """Yield the frame that is shown at each time; times ascend and may go on for ever."""
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


def _middles(part: VideoPart, threshold: float) -> list[float]:
    """Find the middle of every scene, in seconds."""
    cuts, before, end = [part.start], None, part.start
    last = math.inf if part.end is None else part.end
    with entered(part) as (_, frames):
        for seconds, frame, until in frames:
            if seconds >= last - SLACK:
                break
            if until <= part.start + SLACK:
                continue
            # Small, so that grain and a shaking camera are averaged out, and cheap.
            small = frame.reformat(width=LOOK[0], height=LOOK[1], format="rgb24")
            look = small.to_ndarray().astype(np.int16)
            if before is not None and np.abs(look - before).mean() > threshold * 255:
                cuts.append(seconds)
            before, end = look, min(until, last)
    return [(start + stop) / 2 for start, stop in itertools.pairwise([*cuts, end])]
