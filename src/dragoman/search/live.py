"""An index folder as it is now: reopened when another process has swapped or updated it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from dragoman import forks
from dragoman.errors import UserError
from dragoman.folders import MANIFEST
from dragoman.index.folder import IndexInfo, open_generation, read_info
from dragoman.media.video import VideoPart
from dragoman.records import Entry
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.loading import image_fingerprint, load_encoder, model_fingerprint
from dragoman.retrievers.videos import encode_video
from dragoman.search.calibration import Calibration
from dragoman.search.fields import KnownFields
from dragoman.search.kinds import Kinds
from dragoman.search.translating import Translator
from dragoman.stores import Filter, Match, Store

T = TypeVar("T")
KEPT = 256
"""Videos that were asked with whose vectors are kept."""
ATTEMPTS = 10
"""Times that work is begun where the index is swapped while it is done."""


class VideoVectors:
    """Vectors of uploaded videos by one model. Safe to use from several threads."""

    def __init__(self) -> None:
        self.renew_in_child()
        forks.watch(self)
        # A person who adds a word to a video asks with it again; decoding takes far longer than the search.
        self._kept: LRUCache[tuple[object, ...], NDArray[np.float32]] = LRUCache(KEPT)

    def before_fork(self) -> None:
        """Do nothing."""

    def renew_in_child(self) -> None:
        """Make a lock that nobody holds."""
        self._lock = threading.Lock()

    def vector(self, encoder: Encoder, part: VideoPart) -> NDArray[np.float32]:
        """[J] as `encode_video`; a content that is known under the same limits is not decoded again."""
        if not isinstance(part.source, bytes):
            return encode_video(encoder, part)
        content = hashlib.sha256(part.source).digest()
        asked = (content, part.start, part.end, part.decoding, part.max_seconds)
        with self._lock:
            if (known := self._kept.get(asked)) is not None:
                return known
        # Decoded outside of the lock: other searches need not wait for it, though two may do the same then.
        vector_J = encode_video(encoder, part)
        with self._lock:
            self._kept[asked] = vector_J
        return vector_J


class _Shared:
    """A store with the searches that use it: it is closed when it is retired and the last of them ends."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.process = os.getpid()
        self.fields = KnownFields(store)
        self.kinds = Kinds(store)
        self.users = 0
        self.retired = False

    def close_if_idle(self) -> None:
        if self.retired and not self.users:
            self.store.close()


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One state of an index: what one search works with from beginning to end."""

    info: IndexInfo
    model: Encoder
    videos: VideoVectors
    translator: Translator
    calibration: Calibration | None
    shared: _Shared
    stamp: tuple[int, ...]

    @property
    def store(self) -> Store:
        """The store that holds the entries and their vectors."""
        return self.shared.store

    @property
    def fields(self) -> KnownFields:
        """Fields of these entries."""
        return self.shared.fields

    @property
    def kinds(self) -> Kinds:
        """Kinds of these entries."""
        return self.shared.kinds


class LiveIndex:
    """The current state of an index folder, for several threads."""

    def __init__(self, folder: Path, model: str | Path | None, device: str) -> None:
        """Raises UserError where `folder` holds no index, or the model is not the one that filled it."""
        self.folder = folder
        self._model = model
        self._device = device
        self._of_parent: list[_Shared] = []
        self._translator = Translator()
        self.renew_in_child()
        self._opened = self._open(None)
        forks.watch(self)

    def before_fork(self) -> None:
        """Do nothing: stores drop by themselves what cannot be shared."""

    def renew_in_child(self) -> None:
        """Make a lock that nobody holds; the store is opened anew when it is first used."""
        self._lock = threading.RLock()

    def run(self, work: Callable[[Opened], T]) -> T:
        """Return what `work` makes of the current state; do it again where that was replaced meanwhile."""
        for _ in range(ATTEMPTS):
            with self.using() as opened:
                try:
                    return work(opened)
                except Exception as error:
                    # The files of a generation go when another takes its place. What a store says of that may
                    # look like an error of the caller, so it counts only while the state is still there.
                    if _stamp(self.folder) == opened.stamp:
                        raise
                    failed = error
        raise failed

    @contextmanager
    def using(self) -> Iterator[Opened]:
        """Give the current state, which stays open during the block."""
        with self._lock:
            if _stamp(self.folder) != self._opened.stamp or self._opened.shared.process != os.getpid():
                self._replace()
            opened = self._opened
            opened.shared.users += 1
        try:
            yield opened
        finally:
            with self._lock:
                opened.shared.users -= 1
                opened.shared.close_if_idle()

    def close(self) -> None:
        """Close the store, once the searches in other threads have ended."""
        self._translator.close()
        with self._lock:
            self._opened.shared.retired = True
            self._opened.shared.close_if_idle()

    def _replace(self) -> None:
        before = self._opened
        self._opened = self._open(before)
        if before.shared.process != os.getpid():
            # Never closed here: that would end connections which the parent uses.
            self._of_parent.append(before.shared)
        elif self._opened.shared is not before.shared:
            before.shared.retired = True
            before.shared.close_if_idle()

    def _open(self, before: Opened | None) -> Opened:
        """Open all that the manifest names; what has not changed is taken over."""
        for _ in range(ATTEMPTS):
            # The stamp first: a manifest that is replaced meanwhile is read again.
            stamp = _stamp(self.folder)
            try:
                opened = self._open_as(stamp, before)
            except Exception:
                if _stamp(self.folder) == stamp:
                    raise
                continue
            if _stamp(self.folder) == stamp:
                return opened
            # The generation may have gone while it was opened, and been made anew, without entries.
            if before is None or opened.shared is not before.shared:
                opened.store.close()
        raise UserError(f"{self.folder} changes faster than it can be opened. Try again.")

    def _open_as(self, stamp: tuple[int, ...], before: Opened | None) -> Opened:
        info = read_info(self.folder)
        forked = before is not None and before.shared.process != os.getpid()
        # Children share the memory of their parent's model; threads of a model they do not have.
        lost = before is not None and forked and _has_threads(before.model)
        if before and before.info.fingerprint == info.fingerprint and not lost:
            model, videos = before.model, before.videos
        else:
            model, videos = _load_model(info, self._model, self._device), VideoVectors()
        if before and before.info.generation == info.generation and not forked:
            shared = before.shared
        else:
            shared = _Shared(open_generation(info))
        return Opened(
            info=info,
            model=model,
            videos=videos,
            translator=self._translator,
            calibration=Calibration.of_index(info),
            shared=shared,
            stamp=stamp,
        )


class LiveStore(Store):
    """The store of an index folder across swaps: every call goes to the one of that moment."""

    def __init__(self, live: LiveIndex, writing: Callable[[], AbstractContextManager[Opened]]) -> None:
        """`writing` holds the index for a change."""
        self._live, self._writing = live, writing

    @property
    def width(self) -> int:  # type: ignore[override]
        """D."""
        return self._live.run(lambda opened: opened.store.width)

    def add(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> None:
        with self._writing() as opened:
            opened.store.add(entries, vectors)

    def update(self, entries: Sequence[Entry], vectors: NDArray[np.float32] | None = None) -> None:
        with self._writing() as opened:
            opened.store.update(entries, vectors)

    def delete(self, item_ids: Iterable[str]) -> int:
        with self._writing() as opened:
            return opened.store.delete(item_ids)

    def search(self, vectors: NDArray[np.float32], k: int, filter: Filter | None = None) -> list[list[Match]]:
        return self._live.run(lambda opened: opened.store.search(vectors, k, filter))

    def get(self, item_ids: Sequence[str]) -> list[Entry | None]:
        return self._live.run(lambda opened: opened.store.get(item_ids))

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        return self._live.run(lambda opened: opened.store.vectors(item_ids))

    def sample(self, count: int, filter: Filter | None = None) -> NDArray[np.float32]:
        return self._live.run(lambda opened: opened.store.sample(count, filter))

    def scan(self, after: str = "", limit: int = 1000, filter: Filter | None = None) -> list[Entry]:
        return self._live.run(lambda opened: opened.store.scan(after, limit, filter))

    def count(self, filter: Filter | None = None) -> int:
        return self._live.run(lambda opened: opened.store.count(filter))

    def size(self) -> int:
        return self._live.run(lambda opened: opened.store.size())

    def build(self, queries: NDArray[np.float32] | None = None) -> None:
        with self._writing() as opened:
            opened.store.build(queries)

    def describe(self) -> Mapping[str, object]:
        return self._live.run(lambda opened: opened.store.describe())

    def check(self) -> list[str]:
        """List what is wrong with the store, where it can tell."""
        return self._live.run(lambda opened: getattr(opened.store, "check", list[str])())

    def close(self) -> None:
        """Do nothing: the index closes its stores."""


def _stamp(folder: Path) -> tuple[int, ...]:
    """Name the state of the manifest."""
    try:
        found = (folder / MANIFEST).stat()
    except FileNotFoundError:
        return ()
    # Replaced by renaming, it is another file each time; its time may be the same for some milliseconds.
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _has_threads(model: Encoder) -> bool:
    # Asked softly: a stand-in need not say.
    return bool(getattr(model, "threaded", False))


def _load_model(info: IndexInfo, given: str | Path | None, device: str) -> Encoder:
    folder = Path(info.model if given is None else given)
    if given is None and not folder.exists():
        raise UserError(
            f"The model of {info.folder} is no longer in {folder}. Say where it is now: --model FOLDER "
            "(in Python, Searcher.open(index, model=FOLDER))"
        )
    found = model_fingerprint(folder)
    if found != info.fingerprint:
        same_images = image_fingerprint(folder) == info.image_fingerprint
        cost = "no image is encoded again" if same_images else "the old index is searched until it is done"
        raise UserError(
            f"{info.folder} was filled by another model ({info.fingerprint[:12]}) than {folder} "
            f"({found[:12]}), so their vectors differ in kind. Search with {info.model}, or let the index "
            f"follow the model ({cost}): dragoman index {folder} {info.media or 'MEDIA'} --out {info.folder}"
        )
    return load_encoder(folder, device, info.vision)
