"""Looking at an item: its content, its digest, and, unless that is known already, what the model reads of it.

N images, J joint width.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.index.collection import Collection, Notes, NotesError, Rejected
from dragoman.index.state import State, notes_digest, vector_state
from dragoman.media.images import Decoding, ImageError, image_header, open_image
from dragoman.records import Entry, Value
from dragoman.retrievers.videos import recalled, together

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.retrievers.base import Encoder

_EXIF, _TAKEN, _STORED, _ORIENTATION = 0x8769, 0x9003, 0x0132, 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
_DATE = re.compile(r"(1[89]\d\d|20\d\d):(0[1-9]|1[0-2]):(0[1-9]|[12]\d|3[01])\b")


Knows = Callable[[str, str], bool]
"""Whether the vector of a content is known, by the id of an item that has it and its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """An item with its entry, and what its vector is made from."""

    entry: Entry
    state: State
    inputs: Any
    """A prepared image, a frozen vector [D], or those of frames [F, D]; None where the vector is known."""


class Eye:
    """The model of a job: loaded when the first image needs it."""

    def __init__(self, load: Callable[[], Encoder]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The model."""
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
            return self._encoder

    def prepare(self, image: Image) -> Any:
        """What `encode` takes, in any thread."""
        return self.encoder.prepare_image(image)

    def encode(self, inputs: Sequence[Any]) -> NDArray[np.float32]:
        """[N, J] of prepared images, or of frozen vectors."""
        if isinstance(inputs[0], np.ndarray):
            # Videos have as many vectors as frames, images one.
            if inputs[0].ndim == 2:
                seen = [frames_FD[~np.isnan(frames_FD[:, 0])] for frames_FD in inputs]
                return together(self.encoder, [recalled(self.encoder, one) for one in seen])
            return self.encoder.encode_features(np.stack(inputs))
        return self.encoder.encode_prepared(inputs)


def look_at(
    collection: Collection, item_id: str, knows: Knows, eye: Eye, max_megapixels: float
) -> Looked | Rejected:
    """Read an item; its picture is decoded only where the index does not know the vector of its content."""
    path = collection.path(item_id)
    try:
        notes = collection.notes(item_id)
        vector_D = collection.feature(item_id)
        if vector_D is not None:
            state = vector_state(vector_D, notes_digest(notes, path))
            entry = _entry(collection, item_id, state, notes, {})
            inputs = None if knows(item_id, state.digest) else vector_D
            return Looked(entry=entry, state=state, inputs=inputs)
        return _look_at_file(collection, item_id, notes, knows, eye, max_megapixels)
    except ImageError as error:
        return Rejected(item_id, path, error.reason)
    except NotesError as error:
        return Rejected(item_id, path, str(error))
    except OSError as error:
        return Rejected(item_id, path, f"cannot be read ({error.strerror or error})")


def reworded(collection: Collection, item_id: str, state: State) -> Entry | Rejected:
    """The entry of an item of which only metadata or captions have changed."""
    path = collection.path(item_id)
    try:
        notes = collection.notes(item_id)
        file = collection.file(item_id)
        seen = {} if state.kind == "vector" or file is None else _seen(file.read_bytes())
        return _entry(collection, item_id, state._replace(notes=notes_digest(notes, path)), notes, seen)
    except NotesError as error:
        return Rejected(item_id, path, str(error))
    except OSError as error:
        return Rejected(item_id, path, f"cannot be read ({error.strerror or error})")


def ahead(
    look: Callable[[str], Looked | Rejected], ids: Sequence[str], workers: int, most: int
) -> Iterator[Looked | Rejected]:
    """What `look` gives for each id, in order, made ahead in threads; `most` wait at a time."""
    waiting: deque[Future[Looked | Rejected]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for item_id in ids:
            waiting.append(pool.submit(look, item_id))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at_file(
    collection: Collection,
    item_id: str,
    notes: Notes,
    knows: Knows,
    eye: Eye,
    max_megapixels: float,
) -> Looked | Rejected:
    path, file = collection.path(item_id), collection.file(item_id)
    if file is None:
        reason = (
            "neither a file nor a vector in the feature set of the model"
            if path is None
            else ("a URI, not a file: download it and give its path")
        )
        return Rejected(item_id, path, reason)
    # The time is taken first: a file that is written meanwhile is looked at again by the next run.
    stat = file.stat()
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    state = State("file", digest, len(content), stat.st_mtime_ns, notes_digest(notes, path))
    entry = _entry(collection, item_id, state, notes, _seen(content))
    if knows(item_id, digest):
        return Looked(entry=entry, state=state, inputs=None)
    image = open_image(content, Decoding(max_megapixels=max_megapixels))
    try:
        return Looked(entry=entry, state=state, inputs=eye.prepare(image))
    except UserError:
        # The model cannot be loaded: that is not the fault of this image.
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        return Rejected(item_id, path, f"the tower's preprocessing failed ({error})")


def _entry(collection: Collection, item_id: str, state: State, notes: Notes, seen: dict[str, Value]) -> Entry:
    path = collection.path(item_id)
    metadata = {**named(path), **seen, **notes.metadata}
    return Entry(
        item_id=item_id,
        kind=collection.kind(item_id),
        path=path,
        metadata=metadata,
        captions=dict(notes.captions),
        source=str(state),
    )


def named(path: str | None) -> dict[str, Value]:
    """Folder and name of a file, for filters."""
    if path is None or "://" in path:
        return {}
    pure = PurePosixPath(path)
    folder = {} if str(pure.parent) in (".", "/") else {"folder": str(pure.parent)}
    return {**folder, "file": pure.name}


def _seen(content: bytes) -> dict[str, Value]:
    """Width and height as the picture is seen, and when it was taken, where the camera said so."""
    try:
        with image_header(content) as image:
            width, height = image.size
            tags = image.getexif()
            if tags.get(_ORIENTATION) in _ON_ITS_SIDE:
                width, height = height, width
            taken = tags.get_ifd(_EXIF).get(_TAKEN) or tags.get(_STORED) or ""
    except Exception:
        # Cameras and editors write broken EXIF often; the pixels may be good all the same.
        return {}
    date = _DATE.match(str(taken))
    found: dict[str, Value] = {"width": width, "height": height}
    return found | ({"year": int(date[1]), "date": "-".join(date.groups())} if date else {})
