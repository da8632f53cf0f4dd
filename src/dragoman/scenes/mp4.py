"""Clips as video files: H.264 in MP4, which players and browsers show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dragoman.media.video import pyav

QUANTISER = "20"
MOTION = "The generated world in motion"
"""Named in messages, as it needs the package that writes videos."""


def write_mp4(path: Path, frames: Sequence[Image.Image], rate: int) -> None:
    """Write RGB pictures of one size as a video of `rate` frames a second.

    Every frame is a picture of its own with the same loss, whatever stands before it: what a player shows of
    a video and of its reversal are the same frames, bit for bit. One thread, so that equal frames give equal
    files.
    """
    av = pyav(MOTION)
    with av.open(path, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=rate, options={"qp": QUANTISER})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 1
        stream.codec_context.max_b_frames = 0
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        file.mux(stream.encode())


def read_mp4(path: Path, step: int) -> list[Image.Image]:
    """The first and every `step`-th frame after it, as RGB pictures."""
    with pyav().open(path) as file:
        frames = enumerate(file.decode(video=0))
        return [frame.to_image() for number, frame in frames if number % step == 0]
