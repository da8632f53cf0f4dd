"""Make an index agree with the videos of a collection: look at new ones, copy what moved, remove the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.encoders.images import ImageError
from dragoman.encoders.loading import Encoder
from dragoman.errors import MissingExtraError
from dragoman.index import Backend
from dragoman.indexing.collection import Collection, NotesError, Rejected
from dragoman.indexing.film import END, START, Film, moment_id, seconds_of
from dragoman.indexing.look import named
from dragoman.indexing.moments import moments
from dragoman.indexing.state import State, notes_digest
from dragoman.indexing.update import Done
from dragoman.records import Entry


class Films:
    """One run over the videos of a collection."""

    def __init__(
        self, collection: Collection, backend: Backend, known: Mapping[str, Film], load: Callable[[], Encoder]
    ) -> None:
        """`known` is what the index holds, by path."""
        self.rejected: list[Rejected] = []
        self._collection, self._backend, self._load = collection, backend, load
        self._known = dict(known)
        # Of what is gone: the vectors of a video that is still there may be replaced before they are copied.
        gone = [film for path, film in known.items() if path not in set(collection.videos)]
        self._gone = {film.state.digest: film for film in gone if film.state is not None}

    def run(self, done: Done, *, max_megapixels: float, progress: Callable[[int], object]) -> None:
        """Look at new and changed videos, and remove what is gone; `progress` is told of each video."""
        for path in self._collection.videos:
            film = self._known.pop(path, Film())
            try:
                self._take_up(path, film, done, max_megapixels)
            except (ImageError, NotesError, MissingExtraError, OSError) as error:
                reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
                self.rejected.append(Rejected(path, path, reason))
                done.removed += self._backend.delete(film.ids)
            progress(1)
        # Last, as a video that moved is known by what the index holds under its old path.
        done.removed += self._backend.delete([one for film in self._known.values() for one in film.ids])

    def _take_up(self, path: str, film: Film, done: Done, max_megapixels: float) -> None:
        file = self._collection.root / path
        notes = self._collection.notes(path)
        said = notes_digest(notes, path)
        # The time is taken first: a file that is written meanwhile is looked at again by the next run.
        stat = file.stat()
        before = film.state
        if before and (before.size, before.changed, before.notes) == (stat.st_size, stat.st_mtime_ns, said):
            return
        state = State("file", _digest(file), stat.st_size, stat.st_mtime_ns, said)
        origin = film if before and before.digest == state.digest else self._gone.get(state.digest)
        if origin is not None:
            times, vectors = self._stored(origin)
        else:
            found = moments(self._load(), file, max_megapixels)
            times = [(one.start, one.end) for one in found]
            vectors = np.stack([one.vector for one in found])
        metadata = {**named(path), **notes.metadata}
        entries = [
            Entry(
                item_id=moment_id(path, start, end),
                kind="video",
                path=path,
                metadata={**metadata, START: round(start, 2), END: round(end, 2)},
                captions=dict(notes.captions),
                source=str(state),
            )
            for start, end in times
        ]
        self._store(entries, vectors, film, done)
        if origin is not None and origin is not film:
            done.moved += len(entries)

    def _stored(self, film: Film) -> tuple[list[tuple[float, float]], NDArray[np.float32]]:
        """Times and vectors of a video with the same content."""
        entries = [entry for entry in self._backend.get(film.ids) if entry is not None]
        times = [(seconds_of(entry, START), seconds_of(entry, END)) for entry in entries]
        return times, self._backend.vectors([entry.item_id for entry in entries])

    def _store(self, entries: list[Entry], vectors: NDArray[np.float32], film: Film, done: Done) -> None:
        """New moments first, those that stay next, old ones last: a kill leaves a mix, which is noticed."""
        held = set(film.ids)
        new = [row for row, entry in enumerate(entries) if entry.item_id not in held]
        same = [row for row, entry in enumerate(entries) if entry.item_id in held]
        if new:
            self._backend.add([entries[row] for row in new], vectors[new])
        if same:
            self._backend.update([entries[row] for row in same], vectors[same])
        stale = held - {entry.item_id for entry in entries}
        done.added += len(new)
        done.changed += len(same)
        done.removed += self._backend.delete(sorted(stale))


def _digest(file: Path) -> str:
    """sha256 of a file of any size."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
