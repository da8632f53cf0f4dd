"""Make an index agree with the videos of a collection: look at new ones, copy what moved, remove the rest.

M moments, J joint width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError
from dragoman.index import writer
from dragoman.index.collection import Collection, Notes, NotesError, Rejected
from dragoman.index.film import END, START, Film, moment_id, seconds_of
from dragoman.index.look import named
from dragoman.index.moments import Moment, moments, watched
from dragoman.index.state import State, frames_state, notes_digest
from dragoman.index.update import Done
from dragoman.media.frames import Frames
from dragoman.media.images import ImageError
from dragoman.records import Entry
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.videos import recalled, together
from dragoman.stores import Store
from dragoman.stores.checks import MAX_ID_BYTES


@dataclass(frozen=True, eq=False)
class _Taken:
    """A video with its new entries, on its way into the index."""

    video: str
    film: Film
    """What the index holds of it."""
    entries: list[Entry]
    seen: list[NDArray[np.floating]]
    """Of each entry, what is encoded; none where the vectors are known."""
    known: NDArray[np.float32] | None


class Films:
    """One run over the videos of a collection."""

    def __init__(
        self,
        collection: Collection,
        backend: Store,
        known: Mapping[str, Film],
        load: Callable[[], Encoder],
        done: Done,
        *,
        whole: bool,
    ) -> None:
        """`known` is what the index holds, by id of the video. If `whole`, a video is one entry."""
        self.rejected: list[Rejected] = []
        self._collection, self._backend, self._load, self._whole = collection, backend, load, whole
        self._done = done
        self._known = dict(known)
        videos = set(collection.videos)
        # Of what is gone: the vectors of a video that is still there may be replaced before they are copied.
        self._gone = {
            film.state.digest: film
            for video, film in known.items()
            if video not in videos and film.state is not None and film.is_cut(video, whole)
        }
        self._waiting: list[_Taken] = []
        self._since = monotonic()

    def run(self, *, max_megapixels: float, progress: Callable[[int], object]) -> None:
        """Look at new and changed videos, and remove what is gone; `progress` is told of each video."""
        for video in self._collection.videos:
            film = self._known.pop(video, Film())
            try:
                taken = self._take_up(video, film, max_megapixels)
            except (ImageError, NotesError, MissingExtraError, OSError) as error:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
                self._reject(video, film, reason)
            else:
                self._waiting += [] if taken is None else [taken]
            waiting = sum(len(one.entries) for one in self._waiting)
            if waiting >= writer.ENTRIES or monotonic() - self._since >= writer.SECONDS:
                self._flush()
            progress(1)
        self._flush()
        # Last, as a video that moved is known by what the index holds under its old id.
        self._done.removed += self._backend.delete([one for film in self._known.values() for one in film.ids])

    def _reject(self, video: str, film: Film, reason: str) -> None:
        self.rejected.append(Rejected(video, self._collection.path(video), reason))
        self._done.removed += self._backend.delete(film.ids)

    def _take_up(self, video: str, film: Film, max_megapixels: float) -> _Taken | None:
        """The new entries of a video; None where nothing has changed."""
        notes = self._collection.notes(video)
        said = notes_digest(notes, self._collection.path(video))
        before = film.state if film.is_cut(video, self._whole) else None
        stored = self._collection.frames(video)
        state = self._state(video, stored, said, before)
        if state == before:
            return None
        origin = film if before and before.digest == state.digest else self._gone.get(state.digest)
        if origin is not None:
            times, known = self._held(origin)
            found = []
            if origin is not film:
                self._done.moved += len(times)
        else:
            found = self._moments(video, stored, max_megapixels)
            times, known = [(one.start, one.end) for one in found], None
        entries = [self._entry(video, notes, state, start, end) for start, end in times]
        longest = max(len(entry.item_id.encode()) for entry in entries)
        if longest > MAX_ID_BYTES:
            reason = (
                f"ids of its moments have {longest} bytes, and ids have at most {MAX_ID_BYTES}: shorten it"
            )
            raise ImageError(video, reason)
        return _Taken(video, film, entries, [one.seen for one in found], known)

    def _state(self, video: str, stored: Frames | None, said: str, before: State | None) -> State:
        """What the entries of a video are to be made from; `before` where its file has not changed."""
        if stored is not None:
            return frames_state(stored, said)
        file = self._collection.file(video)
        assert file is not None, "a video has frames or a file"
        # The time is taken first: a file that is written meanwhile is looked at again by the next run.
        stat = file.stat()
        seen = ("file", stat.st_size, stat.st_mtime_ns, said)
        if before and (before.kind, before.size, before.changed, before.notes) == seen:
            return before
        return State("file", _digest(file), stat.st_size, stat.st_mtime_ns, said)

    def _moments(self, video: str, stored: Frames | None, max_megapixels: float) -> list[Moment]:
        encoder = self._load()
        if stored is not None:
            seen = stored._replace(vectors=recalled(encoder, stored.vectors))
        else:
            file = self._collection.file(video)
            assert file is not None
            seen = watched(encoder, file, max_megapixels)
        return moments(encoder, seen, whole=self._whole)

    def _entry(self, video: str, notes: Notes, state: State, start: float, end: float) -> Entry:
        path = self._collection.path(video)
        # What the video says of itself, but for its times: those are of the moment.
        metadata = {**named(path), **notes.metadata}
        if not self._whole:
            metadata |= {START: round(start, 2), END: round(end, 2)}
        return Entry(
            item_id=video if self._whole else moment_id(video, start, end),
            kind="video",
            path=path,
            metadata=metadata,
            captions=dict(notes.captions),
            source=str(state),
        )

    def _held(self, film: Film) -> tuple[list[tuple[float, float]], NDArray[np.float32]]:
        """Times and vectors of a video with the same content; of a whole one, no times matter."""
        entries = [entry for entry in self._backend.get(film.ids) if entry is not None]
        vectors_MJ = self._backend.vectors([entry.item_id for entry in entries])
        if self._whole:
            return [(0.0, 0.0)], vectors_MJ
        return [(seconds_of(entry, START), seconds_of(entry, END)) for entry in entries], vectors_MJ

    def _flush(self) -> None:
        """Store what waits: new moments first, those that stay next, old ones last.

        A kill leaves a mix of old and new moments of a video, which the next run notices.
        """
        waiting, self._waiting, self._since = self._waiting, [], monotonic()
        seen = [one for taken in waiting for one in taken.seen]
        fresh = iter(together(self._load(), seen)) if seen else iter(())
        new: list[tuple[Entry, NDArray[np.float32]]] = []
        same: list[tuple[Entry, NDArray[np.float32]]] = []
        stale: list[str] = []
        for taken in waiting:
            vectors_MJ = [next(fresh) for _ in taken.seen] if taken.known is None else taken.known
            if not np.isfinite(vectors_MJ).all():
                reason = "a vision vector of it does not fit into float16, or is not finite"
                self._reject(taken.video, taken.film, reason)
                continue
            held = set(taken.film.ids)
            for entry, vector_J in zip(taken.entries, vectors_MJ, strict=True):
                (same if entry.item_id in held else new).append((entry, vector_J))
            stale += sorted(held.difference(entry.item_id for entry in taken.entries))
        for pairs, store in ((new, self._backend.add), (same, self._backend.update)):
            if pairs:
                store([entry for entry, _ in pairs], np.stack([vector_J for _, vector_J in pairs]))
        self._done.added += len(new)
        self._done.changed += len(same)
        self._done.removed += self._backend.delete(stale)


def _digest(file: Path) -> str:
    """sha256 of a file of any size."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
