"""The frames of a corpus through a vision tower, one video after the other.

A batch of the tower never holds frames of two videos, so that those of a video are the same whatever else was
extracted: an interrupted job ends with the same bits. Memory: the tower, two batches of prepared frames, a
decoded frame, and the vectors of one shard.

F frames of a video, D width of the vectors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dragoman.features.feature_work import Rejected
from dragoman.features.frame_work import FrameShard
from dragoman.media.frames import spread
from dragoman.media.images import ImageError, open_image
from dragoman.media.video import Sampling, sampled_frames

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dragoman.models.vision import VisionTower

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Medium:
    """An item with a file."""

    item_id: str
    kind: str
    path: str
    file: str


@dataclass(frozen=True)
class Look:
    """How media are opened."""

    sampling: Sampling
    max_megapixels: float

    def frames(self, medium: Medium) -> Iterator[tuple[float, Image]]:
        """Times in seconds and frames; an image is a video of one frame. Raises ImageError."""
        if medium.kind == "image":
            return iter([(0.0, open_image(medium.file, self.max_megapixels))])
        return sampled_frames(medium.file, self.sampling, self.max_megapixels)

    def refusal(self, medium: Medium) -> str | None:
        """Why the medium gives no frames, after all of it was decoded."""
        try:
            deque(self.frames(medium), maxlen=0)
        except ImageError as error:
            return error.reason
        return None


def frame_shards(
    tower: VisionTower,
    media: Iterable[Medium],
    look: Look,
    done: Callable[[int], object],
    *,
    batch_size: int,
    workers: int,
    seconds: float,
    most: int,
) -> Iterator[FrameShard]:
    """Shards of whole videos, cut where `seconds` have passed or they hold `most` frames.

    `done` is told of every medium. `workers` threads prepare frames while others are decoded and encoded.
    """
    shard, start = _empty(), monotonic()
    with ThreadPoolExecutor(workers, thread_name_prefix="frames") as pool:
        for medium in media:
            found = _encoded(tower, medium, look, batch_size, pool)
            if isinstance(found, str):
                shard.rejected.append(Rejected(item_id=medium.item_id, path=medium.path, reason=found))
            else:
                shard.ids.append(medium.item_id)
                shard.videos.append(found[0])
                shard.times.append(found[1])
            done(1)
            if monotonic() - start >= seconds or sum(map(len, shard.videos)) >= most:
                yield shard
                shard, start = _empty(), monotonic()
    if shard.ids or shard.rejected:
        yield shard


def video_vectors(
    tower: VisionTower, frames: Iterator[tuple[float, Image]], batch_size: int, pool: ThreadPoolExecutor
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """[F, D] of the frames of one video, and their times [F]. Raises what reading the frames raises."""
    prepared = _prepared(tower, frames, 2 * batch_size, pool)
    vectors, times = [], []
    while batch := list(islice(prepared, batch_size)):
        times += [time for time, _ in batch]
        vectors.append(tower.embed([inputs for _, inputs in batch]))
    return np.concatenate(vectors), np.array(times)


def _prepared(
    tower: VisionTower, frames: Iterator[tuple[float, Image]], ahead: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[float, dict[str, Tensor]]]:
    def prepare(image: Image) -> dict[str, Tensor]:
        try:
            return tower.prepare(image)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ImageError("frame", f"the tower's preprocessing failed ({error})") from None

    waiting: deque[tuple[float, Future[dict[str, Tensor]]]] = deque()
    for time, image in frames:
        waiting.append((time, pool.submit(prepare, image)))
        if len(waiting) > ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    for time, future in waiting:
        yield time, future.result()


def _encoded(
    tower: VisionTower, medium: Medium, look: Look, batch_size: int, pool: ThreadPoolExecutor
) -> tuple[NDArray[np.float16], NDArray[np.float64]] | str:
    """Frames and times of a medium, or the reason why there are none."""
    try:
        vectors_FD, times_F = video_vectors(tower, look.frames(medium), batch_size, pool)
    except ImageError as error:
        return error.reason
    # Where a file understates its length, more frames come than were asked for.
    chosen = spread(len(vectors_FD), look.sampling.most)
    vectors_FD, times_F = vectors_FD[chosen], times_F[chosen]
    if not np.abs(vectors_FD).max() <= LARGEST:  # true for NaN as well
        return f"a vector of it does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f})"
    return vectors_FD.astype(np.float16), times_F


def _empty() -> FrameShard:
    return FrameShard(ids=[], videos=[], times=[], rejected=[])
