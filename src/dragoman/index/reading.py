"""Items as they are read: their state, what their files say of themselves, and what the model will encode.

Images are opened and prepared ahead, in threads, and only where the vector of their content is not known.
Videos are decoded later, one at a time, because the model sees frames while they are decoded.

F frames, X width of what the model sees in a frame, D of the vision tower, J joint width, N parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.blocks import Compute
from dragoman.errors import UserError
from dragoman.index.entries import END, START, State, frozen_state, moment_id, notes_digest, text_state
from dragoman.index.items import Items, Notes, Rejected
from dragoman.index.plan import Task
from dragoman.media.embedded import day_of, taken
from dragoman.media.file_state import place_of
from dragoman.media.images import Decoding, ImageError, image_header, open_image, size_as_seen
from dragoman.models.sentences import GOLDEN_TEXTS
from dragoman.records import Entry, Value
from dragoman.retrievers.base import encode_in
from dragoman.retrievers.videos import encode_videos
from dragoman.texts import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.retrievers.base import Encoder

MOST_PAGES = 1000
"""Pages of a scan that are counted."""
NO_FILE = "neither a file nor a vector in the feature set of the model"
NO_DOWNLOADS = "a URI, not a file: download it and give its path"

FEWEST = 64
"""Characters of a text that every model reads whole."""
SAME = 1e-5
"""Vectors of unit length that differ by less in all of their values are of one text."""

Numbered = tuple[int, Sequence["Picture"]]
"""A batch with its number."""
Seconds = tuple[float, float] | None
"""Start and end of a moment; None of what is one entry."""
Knows = Callable[[Task, str], bool]
"""Tells if the vectors of a content are known, by its digest."""


class Picture(NamedTuple):
    """An image that was read here, for a worker that reads it again."""

    file: Path
    digest: str


class TextError(UserError):
    """A text of which nothing can be encoded; the message says why."""


class Line(NamedTuple):
    """A text on one line."""

    text: str
    lang: str

    @classmethod
    def of(cls, text: str, lang: str, encoder: Encoder) -> Line:
        """Put a text on one line. Raises TextError where a model knows nothing of it."""
        found = cls(one_line(text), lang)
        if not encoder.reads([found.text])[0]:
            raise TextError("the model knows nothing of its text")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadItem:
    """An item that was read."""

    task: Task
    state: State
    notes: Notes
    said: Mapping[str, Value]
    """Metadata that its file holds."""
    media: Any
    """Prepared image; text, as a `Line`; frozen vectors, as `Items.frozen` gives them; file of a video; None
    where the vectors of an image or a text are known."""

    def entry(self, seconds: Seconds) -> Entry:
        """Make its entry, or that of a moment of it."""
        item = self.task.item
        metadata = {**_named(item.path), **self.said, **self.notes.metadata}
        if seconds is not None:
            # These times are of the moment, whatever the video says of itself.
            start, end = seconds
            metadata |= {START: round(start, 2), END: round(end, 2)}
        return Entry(
            item_id=item.item_id if seconds is None else moment_id(item.item_id, *seconds),
            kind=item.kind,
            lang=item.lang,
            path=item.path,
            metadata=metadata,
            captions=self.notes.captions,
            more_captions=self.notes.more_captions,
            machine=frozenset(self.notes.machine),
            source=str(self.state),
        )


class ItemReader:
    """Reads items for a model, which is loaded when the first one needs it."""

    def __init__(self, items: Items, load: Callable[[], Encoder], decoding: Decoding) -> None:
        self._items, self.decoding = items, decoding
        self._load, self._lock = load, threading.Lock()
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """Model, loaded on first use; safe to ask for in any thread."""
        # An update that finds nothing new answers at once, without reading a model.
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def ahead(
        self, tasks: Sequence[Task], knows: Knows, workers: int, most: int
    ) -> Iterator[tuple[Task, ReadItem | Rejected]]:
        """Yield each task with what `read` gives for it, in order, made in threads; `most` wait at a time."""
        waiting: deque[tuple[Task, Future[ReadItem | Rejected]]] = deque()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
        try:
            for task in tasks:
                waiting.append((task, pool.submit(self.read, task, knows)))
                if len(waiting) > most:
                    first, item = waiting.popleft()
                    yield first, item.result()
            for first, item in waiting:
                yield first, item.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, task: Task, knows: Knows) -> ReadItem | Rejected:
        """Read an item; an image is decoded only where `knows` says no."""
        item = task.item
        said: dict[str, Value] = {}
        media: Any
        try:
            notes = self._items.notes(item)
            words = notes_digest(notes, item.path)
            if item.is_frozen:
                media = self._items.frozen(item)
                return ReadItem(
                    task=task, state=frozen_state(media, words), notes=notes, said=said, media=media
                )
            if item.text is not None and item.lang is not None:
                state = text_state(item.text, item.lang, words)
                known = knows(task, state.digest)
                media = None if known else Line.of(item.text, item.lang, self.encoder)
                return ReadItem(task=task, state=state, notes=notes, said=said, media=media)
            if item.file is None:
                return Rejected(item.item_id, item.path, NO_FILE if item.path is None else NO_DOWNLOADS)
            # The time is taken first: a file that is written meanwhile is read again by the next run.
            stat = item.file.stat()
            if item.kind == "video":
                media = item.file
                # Hours of video need not be read through for a new caption.
                digest = task.before.digest if task.before and task.is_same else _digest(media)
            else:
                content = item.file.read_bytes()
                digest, said = hashlib.sha256(content).hexdigest(), _said(content)
                media = None if knows(task, digest) else self._prepared(content)
            state = State("file", digest, stat.st_size, stat.st_mtime_ns, words, place_of(stat))
            return ReadItem(task=task, state=state, notes=notes, said=said, media=media)
        except (ImageError, TextError, OSError) as error:
            return Rejected(item.item_id, item.path, reason_of(error))

    def encode(self, parts: Sequence[Any]) -> NDArray[np.float32]:
        """Encode N prepared images or texts, or N frozen vectors [D], or the frames [F, X] of N parts:
        [N, J]."""
        if isinstance(parts[0], Line):
            return encode_lines(self.encoder, parts)
        if not isinstance(parts[0], np.ndarray):
            return self.encoder.encode_prepared(parts)
        # Videos have as many vectors as frames, images one.
        if parts[0].ndim == 2:
            return encode_videos(self.encoder, parts)
        return self.encoder.encode_features(np.stack(parts))

    def cuts(self, lines: Sequence[Line]) -> list[bool]:
        """Tell of each text if the model reads its beginning alone."""
        # By what comes of it, as models cut in ways of their own: what stands behind changes nothing. Where
        # the longest is read whole, so are the others.
        longest = max(lines, key=lambda line: len(line.text))
        if len(longest.text) < FEWEST or not self._is_cut([longest])[0]:
            return [False] * len(lines)
        return self._is_cut(lines)

    def _is_cut(self, lines: Sequence[Line]) -> list[bool]:
        further = [line._replace(text=" ".join([line.text, *GOLDEN_TEXTS])) for line in lines]
        one_NJ, other_NJ = (encode_lines(self.encoder, some) for some in (lines, further))
        same_N = np.abs(one_NJ - other_NJ).max(axis=1) < SAME
        return [len(line.text) >= FEWEST and bool(same) for line, same in zip(lines, same_N, strict=True)]

    def _prepared(self, content: bytes) -> Any:
        image: Image = open_image(content, self.decoding)
        # Outside of the attempt: a model that cannot be loaded is not the fault of this image.
        encoder = self.encoder
        try:
            return encoder.prepare_image(image)
        except UserError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise ImageError("image", f"the tower's preprocessing failed ({error})") from None


@dataclass(frozen=True, kw_only=True)
class PictureEncoding:
    """Encoding of pictures on another computer, each batch with its number."""

    load: Callable[[str], Encoder]
    """Loads the model for a device."""
    fingerprint: str
    """Must be that of the model there."""
    device: str
    decoding: Decoding

    def __call__(self) -> Compute[Numbered, tuple[int, NDArray[np.float32]]]:
        encoder = self.load(self.device)
        if encoder.fingerprint != self.fingerprint:
            raise UserError("A node of the cluster has another model. Give a folder that all nodes see.")
        return lambda batches: (
            (number, encoder.encode_prepared([self._prepared(encoder, one) for one in pictures]))
            for number, pictures in batches
        )

    def _prepared(self, encoder: Encoder, picture: Picture) -> Any:
        try:
            content = picture.file.read_bytes()
            if hashlib.sha256(content).hexdigest() == picture.digest:
                return encoder.prepare_image(open_image(content, self.decoding))
            why = "changed"
        except (OSError, ImageError) as error:
            why = f"could not be read any more ({reason_of(error)})"
        # Without it the others of its batch would have other vectors, in their last bits.
        raise UserError(f"{picture.file} {why} while it was indexed. Run the same command again.")


def encode_lines(encoder: Encoder, lines: Sequence[Line]) -> NDArray[np.float32]:
    """[N, J] of texts, each read in its language."""
    return encode_in(encoder, [line.text for line in lines], [line.lang for line in lines])


def embedded(entry: Entry, image: Any, encoder: Encoder) -> NDArray[np.float32]:
    """[1, J] of an entry: of the text that it is, or of its image, a file or a PIL image. Raises ImageError,
    TextError."""
    if entry.text is not None and entry.lang is not None:
        return encode_lines(encoder, [Line.of(entry.text, entry.lang, encoder)])
    return encoder.encode_image([image])


def _digest(file: Path) -> str:
    # Not in memory at once, as images are: videos are of any size.
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def reason_of(error: Exception) -> str:
    """Say why an item was rejected."""
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return error.reason if isinstance(error, ImageError) else str(error)


def _named(path: str | None) -> dict[str, Value]:
    """Folder and name of a file, for filters."""
    if path is None or "://" in path:
        return {}
    pure = PurePosixPath(path)
    # Who searches learns which photos lie together, not where on this computer.
    parent = pure.parent.name if pure.is_absolute() else str(pure.parent)
    folder = {} if parent in (".", "") else {"folder": parent}
    return {**folder, "file": pure.name}


def _said(content: bytes) -> dict[str, Value]:
    """Width and height as the picture is seen, pages of a scan that has several, of which the first is the
    item, and when it was taken, where the camera said so."""
    try:
        with image_header(content) as image:
            width, height = size_as_seen(image)
            day, pages = day_of(taken(image)), _pages(image)
    except ImageError:
        return {}
    found: dict[str, Value] = {"width": width, "height": height}
    if pages > 1:
        found["pages"] = pages
    return found | day


def _pages(image: Image) -> int:
    """Count the pages of a TIFF, up to `MOST_PAGES`; 1 of all other images."""
    count = 1
    # Not n_frames, which looks at all of a file that may have millions.
    with contextlib.suppress(Exception):
        while image.format == "TIFF" and count < MOST_PAGES:
            image.seek(count)
            count += 1
    return count
