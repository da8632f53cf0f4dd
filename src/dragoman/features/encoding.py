"""Frames of images and videos through a vision tower: opened ahead in threads, batched, refused one by one.

An image is a video of one frame. Memory: two batches of prepared frames, one batch in the tower, and per
worker one decoded frame.

F frames of an item, D width of the tower's vectors.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dragoman.media.file_state import FileState
from dragoman.media.frames import Sampling, spread
from dragoman.media.images import DECODING, Decoding, ImageError, open_image
from dragoman.media.reading import sampled_frames

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dragoman.models.vision import VisionTower

Frame = tuple[float, Callable[[], "Image"]]
"""A time in seconds, and what gives the picture: opening an image is left to a thread."""


@dataclass(frozen=True)
class ItemFile:
    """An item of a corpus with a file."""

    item_id: str
    kind: str
    path: str
    file: str


@dataclass(frozen=True)
class Opener:
    """A way to open items."""

    sampling: Sampling
    decoding: Decoding
    states: dict[str, FileState] = field(default_factory=dict)
    """States of the files that `noted_frames_of` read, by item."""

    def noted_frames_of(self, item: ItemFile) -> Iterator[Frame]:
        """Yield as `frames_of`, and note the state of the file from before it is opened."""
        if item.kind == "video":
            self._note(item)
            yield from self.frames_of(item)
            return
        for time, picture in self.frames_of(item):
            yield time, partial(self._noted, item, picture)

    def frames_of(self, item: ItemFile) -> Iterator[Frame]:
        """Yield 1 to F frames. They and this raise ImageError for what cannot be opened."""
        if item.kind == "image":
            yield 0.0, partial(open_image, item.file, self.decoding)
            return
        for time, image in sampled_frames(item.file, self.sampling, self.decoding):
            yield time, partial(_same, image)

    def refusal(self, item: ItemFile) -> str | None:
        """Tell why an item gives no frames, after all of it was decoded."""
        try:
            for _, opened in self.frames_of(item):
                opened()
        except ImageError as error:
            return error.reason
        return None

    def _noted(self, item: ItemFile, picture: Callable[[], Image]) -> Image:
        # In the thread that opens it: the state of a file that is replaced in between is that of the old one.
        self._note(item)
        return picture()

    def _note(self, item: ItemFile) -> None:
        self.states[item.item_id] = FileState.of(item.kind, item.file)


@dataclass
class Encoded:
    """An item on its way through the tower."""

    item: ItemFile
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    """Vectors of each frame so far, [D] or with regions [R, D]."""
    times: list[float] = field(default_factory=list)
    refusal: ImageError | None = None
    """Reason why there are no vectors; those that were made before it showed do not count."""

    def joined(self, most: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return vectors [F, …, D] and times [F] of at most `most` frames."""
        # Where a file understates its length, more frames come than were asked for.
        chosen = spread(len(self.vectors), most)
        return np.stack(self.vectors)[chosen], np.array(self.times)[chosen]


@dataclass
class _Slot:
    """A place in a batch."""

    owner: Encoded
    time: float = 0.0
    prepared: Future[dict[str, Tensor]] | None = None
    last: bool = False
    """The owner has no frame after this one."""


def encoded(
    tower: VisionTower,
    items: Iterable[ItemFile],
    frames_of: Callable[[ItemFile], Iterator[Frame]],
    *,
    batch_size: int,
    workers: int,
    batch_across_items: bool,
) -> Iterator[list[Encoded]]:
    """Yield after each batch the items whose last frame was in it, in order.

    With `batch_across_items` a batch holds frames of any items, which is fast where each has one frame; what
    is broken takes a place in a batch too, so that it does not move those behind it. Without, a batch never
    holds frames of two items. Frames of a video never share a batch with another item: its vectors are the
    same in their last bit whatever else is encoded.
    """
    batch: list[_Slot] = []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="frames")

    def prepare(picture: Callable[[], Image]) -> Future[dict[str, Tensor]]:
        return pool.submit(_prepared, tower, picture)

    try:
        for slot in _opened(items, frames_of, prepare, 2 * batch_size):
            is_alone = not batch_across_items or slot.owner.item.kind == "video"
            if batch and is_alone and batch[-1].owner is not slot.owner:
                yield _embedded(tower, batch)
                batch = []
            batch.append(slot)
            if len(batch) == batch_size or (slot.last and is_alone):
                yield _embedded(tower, batch)
                batch = []
        if batch:
            yield _embedded(tower, batch)
    finally:
        # Whoever stops in the middle must not wait for pictures that nobody will look at.
        pool.shutdown(cancel_futures=True)


def _embedded(tower: VisionTower, batch: list[_Slot]) -> list[Encoded]:
    good: list[tuple[_Slot, dict[str, Tensor]]] = []
    for slot in batch:
        try:
            # Frames before the one that is broken need no tower any more.
            if slot.prepared is not None and slot.owner.refusal is None:
                good.append((slot, slot.prepared.result()))
        except ImageError as error:
            slot.owner.refusal = error
    if good:
        vectors = tower.embed([inputs for _, inputs in good])
        for (slot, _), vector in zip(good, vectors, strict=True):
            slot.owner.vectors.append(vector)
            slot.owner.times.append(slot.time)
    return [slot.owner for slot in batch if slot.last]


def _opened(
    items: Iterable[ItemFile],
    frames_of: Callable[[ItemFile], Iterator[Frame]],
    prepare: Callable[[Callable[[], Image]], Future[dict[str, Tensor]]],
    ahead: int,
) -> Iterator[_Slot]:
    """Yield a slot for each frame, or one for an item without any, with `ahead` more on their way."""
    waiting: deque[_Slot] = deque()
    for item in items:
        slot = None
        owner = Encoded(item)
        try:
            for time, picture in frames_of(item):
                slot = _Slot(owner, time, prepare(picture))
                waiting.append(slot)
                if len(waiting) > ahead:
                    yield waiting.popleft()
                # A frame of it failed while others waited: the rest of the video need not be decoded.
                if owner.refusal is not None:
                    break
        except ImageError as error:
            owner.refusal = error
        if slot is None:
            slot = _Slot(owner)
            waiting.append(slot)
        # It still waits: nothing leaves the queue before another frame stands behind it.
        slot.last = True
    yield from waiting


def _prepared(tower: VisionTower, picture: Callable[[], Image]) -> dict[str, Tensor]:
    image = picture()
    try:
        return tower.prepare(image)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ImageError("frame", f"the tower's preprocessing failed ({error})") from None


def _same(image: Image) -> Image:
    return image


def video_vectors(
    tower: VisionTower, file: str | Path, sampling: Sampling, batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Encode the frames of one video: [F, D], and their times in seconds [F].

    As in a feature set, bit for bit, if `batch_size` is that of the extraction. Raises ImageError.
    """
    item, opener = ItemFile("", "video", str(file), str(file)), Opener(sampling, DECODING)
    batches = encoded(
        tower, [item], opener.frames_of, batch_size=batch_size, workers=1, batch_across_items=False
    )
    (found,) = itertools.chain.from_iterable(batches)
    if found.refusal is not None:
        raise found.refusal
    return found.joined(sampling.most)
