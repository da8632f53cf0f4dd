"""Update of an index to a plan: encode what is new, copy what is known, remove what is gone.

Every item has parts, each with a vector: an image has one, under its own id; a video that is cut has one for
each of its moments. All entries of an item are stored in one transaction, or, where some of them were there
before, in steps that leave a mix which the next run notices.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.blocks import Workers
from dragoman.errors import MissingExtraError, UserError
from dragoman.index.entries import END, START, Held, seconds_of, video_of
from dragoman.index.items import Rejected
from dragoman.index.moments import frames_seen, moments
from dragoman.index.plan import Plan, Task
from dragoman.index.reading import (
    ItemReader,
    Line,
    Picture,
    PictureEncoding,
    ReadItem,
    Seconds,
    reason_of,
)
from dragoman.media.frames import Frames
from dragoman.media.images import ImageError
from dragoman.records import Entry
from dragoman.retrievers.videos import encode_tower_vectors
from dragoman.stores import Store
from dragoman.stores.checks import MAX_ID_BYTES, check_entry

FEATURES_AT_ONCE = 1024
TEXTS_AT_ONCE = 256
DELETED_AT_ONCE = 10_000
SECONDS = 5.0
"""Work that a kill can cost."""
ENTRIES = 1000
"""Entries that wait to be stored."""

SENT_AT_ONCE = 100_000
"""Pictures that wait for the workers of a cluster, with their entries; models are loaded for each so many."""
BLOCK_PICTURES = 512
"""Pictures that a worker gets at a time."""
NOT_FINITE = "its vision vector does not fit into float16, or is not finite"

Stored = tuple[Entry, NDArray[np.float32]]
Encoded = Sequence[NDArray[np.float32]]
"""A vector for each entry of an item."""


@dataclass(kw_only=True)
class Done:
    """Counts of what was done, in entries."""

    added: int = 0
    changed: int = 0
    """Embedded anew."""
    reworded: int = 0
    """Rewritten, because metadata, captions or the time of the file changed, but not its content."""
    moved: int = 0
    """Among the added, those that an entry of another path had before; their vectors were copied."""
    copies: int = 0
    """Among the added, further files of the same content; embedded once."""
    removed: int = 0


class Part(NamedTuple):
    """A piece of an item that becomes an entry."""

    seconds: Seconds
    seen: Any
    """Input of `ItemReader.encode`."""


class Away(NamedTuple):
    """Workers of a cluster, and how they encode pictures."""

    workers: Workers
    encoding: PictureEncoding


class Waiting(NamedTuple):
    """An item that waits to be encoded."""

    item: ReadItem
    parts: Sequence[Part]
    entries: Sequence[Entry]
    """One for each part."""


class Update:
    """One run over a plan."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        reader: ItemReader,
        *,
        batch_size: int,
        workers: int,
        away: Away | None = None,
    ) -> None:
        """With `away`, pictures are read here, which says what shares a batch, and encoded there."""
        self.done = Done()
        self.rejected = list(plan.rejected)
        self.cut: list[str] = []
        """Texts of which the model reads the beginning alone."""
        self._plan, self._reader, self._writer = plan, reader, _Writer(store, self.done)
        self._batch_size, self._workers = batch_size, workers
        # Origins of vectors, by digest: what is gone and, later, what this run encodes. An item whose content
        # changed is none: its vectors may be replaced before another item turns out to have that content.
        self._known = {state.digest: held for held in plan.gone if (state := held.state)}
        self._lost = {held.item_id for held in plan.gone}
        self._gone = [item_id for held in plan.gone for item_id in held.ids]
        # Only among files of one size can there be copies; the vectors of others need not be remembered.
        sizes = Counter(task.size for task in plan.tasks if task.size is not None)
        self._twice = {size for size, count in sizes.items() if count > 1}
        self._waiting: dict[str, list[Waiting]] = defaultdict(list)
        self._away = away
        self._sent: list[Sequence[Waiting]] = []
        self._promised: set[str] = set()
        """Contents that were sent."""
        self._copies: list[ReadItem] = []
        """Items of such a content."""

    def run(self, progress: Callable[[int], object]) -> None:
        """Do what the plan says; `progress` is told of finished items."""
        ahead = self._reader.ahead(self._plan.tasks, self._knows, self._workers, 2 * self._batch_size)
        for task, item in ahead:
            if isinstance(item, Rejected):
                self._reject(task, item.reason)
            else:
                self._take(item)
            progress(1)
        for batch in self._waiting.values():
            self._encode(batch)
        self._fetch()
        self._writer.flush()
        # Last, as an item that moved is known by what the index holds under its old id.
        for start in range(0, len(self._gone), DELETED_AT_ONCE):
            self._writer.delete(self._gone[start : start + DELETED_AT_ONCE])

    def _knows(self, task: Task, digest: str) -> bool:
        """Tell if the index has the vectors of a content that an item has."""
        return self._origin(task, digest) is not None or task.is_content(digest)

    def _origin(self, task: Task, digest: str) -> Held | None:
        origin = self._known.get(digest)
        # Moments are no origin for a video that is not cut, nor the other way.
        return origin if origin is not None and origin.fits(task.item.is_cut) else None

    def _take(self, item: ReadItem) -> None:
        """Store an item whose vectors are known; let others wait for a batch."""
        source = item.task.item
        self.rejected.extend(Rejected(source.item_id, source.path, fault) for fault in item.notes.faults)
        if item.task.is_content(item.state.digest):
            self._reword(item)
        elif (origin := self._origin(item.task, item.state.digest)) is not None:
            if item.state.digest in self._promised:
                self._copies.append(item)
            else:
                self._copy(item, origin)
        else:
            self._wait(item)

    def _wait(self, item: ReadItem) -> None:
        try:
            parts = self._parts_of(item)
        except (ImageError, MissingExtraError, OSError) as error:
            self._reject(item.task, reason_of(error))
            return
        entries = self._entries(item, [part.seconds for part in parts])
        if not entries:
            return
        first = parts[0].seen
        if isinstance(first, Line):
            sort, most = "texts", TEXTS_AT_ONCE
        elif not isinstance(first, np.ndarray):
            sort, most = "images", self._batch_size
            if self._away is not None and item.task.item.file is not None:
                # Read again there: what is prepared is large.
                parts = [Part(None, Picture(item.task.item.file, item.state.digest))]
                item = dataclasses.replace(item, media=None)
        elif first.ndim == 1:
            sort, most = "vectors", FEATURES_AT_ONCE
        else:
            # Moments hold all of their frames, so that these do not wait.
            sort, most = "frames", 1
        batch = self._waiting[sort]
        batch.append(Waiting(item, parts, entries))
        if len(batch) == most:
            self._encode(batch)
            batch.clear()

    def _parts_of(self, item: ReadItem) -> list[Part]:
        """Cut an item into its parts. Raises ImageError, MissingExtraError, OSError."""
        media, reader = item.media, self._reader
        if not isinstance(media, Frames | Path):
            if isinstance(media, np.ndarray) and media.ndim == 2:
                media = encode_tower_vectors(reader.encoder, media[~np.isnan(media[:, 0])])
            return [Part(None, media)]
        encoder = reader.encoder
        if isinstance(media, Frames):
            seen = media._replace(vectors=encode_tower_vectors(encoder, media.vectors))
        else:
            seen = frames_seen(encoder, media, reader.decoding)
        is_cut = item.task.item.is_cut
        found = moments(encoder, seen, whole=not is_cut)
        return [Part((one.start, one.end) if is_cut else None, one.seen) for one in found]

    def _entries(self, item: ReadItem, times: Sequence[Seconds]) -> list[Entry]:
        """Make the entries of an item; reject it, and return none, where a store would refuse them."""
        # A store refuses all entries that come together: one odd caption would end the whole run.
        entries = [item.entry(seconds) for seconds in times]
        longest = max(len(entry.item_id.encode()) for entry in entries)
        if longest > MAX_ID_BYTES:
            whose = "its id has" if times[0] is None else "ids of its moments have"
            reason = f"{whose} {longest} bytes, and ids have at most {MAX_ID_BYTES}: shorten it"
            self._reject(item.task, reason)
            return []
        try:
            # But for ids and times, the entries of an item are alike.
            check_entry(entries[0])
        except UserError as error:
            self._reject(item.task, str(error))
            return []
        return entries

    def _encode(self, batch: Sequence[Waiting]) -> None:
        """Encode each content once, and store all entries that have it.

        A batch is stored whole or not at all: its vectors depend on it in their last bits, and the run that
        goes on after a kill must make the same batches.
        """
        if not batch:
            return
        seen = [part.seen for same in _by_content(batch) for part in same[0].parts]
        if isinstance(seen[0], Picture):
            self._send(batch)
            return
        if isinstance(seen[0], Line):
            for same, is_cut in zip(_by_content(batch), self._reader.cuts(seen), strict=True):
                self.cut += [one.item.task.item.item_id for one in same if is_cut]
        self._keep(batch, self._reader.encode(seen))

    def _send(self, batch: Sequence[Waiting]) -> None:
        """Leave a batch to the workers of a cluster, who get many together."""
        self._sent.append(tuple(batch))
        for item, _, entries in batch:
            self._promised.add(item.state.digest)
            self._note(item, entries)
        if sum(map(len, self._sent)) >= SENT_AT_ONCE:
            self._fetch()

    def _fetch(self) -> None:
        """Store what was sent, in the order in which it comes, and then what has the same content."""
        if self._away is None or not self._sent:
            return
        numbered = [
            (number, [same[0].parts[0].seen for same in _by_content(batch)])
            for number, batch in enumerate(self._sent)
        ]
        a_block = max(1, BLOCK_PICTURES // self._batch_size)
        blocks = (numbered[at : at + a_block] for at in range(0, len(numbered), a_block))
        for number, vectors_NJ in self._away.workers.computed(self._away.encoding, blocks):
            self._keep(self._sent[number], vectors_NJ)
        copies, self._copies, self._sent = self._copies, [], []
        self._promised.clear()
        for item in copies:
            if (origin := self._origin(item.task, item.state.digest)) is not None:
                self._copy(item, origin)
            else:
                self._reject(item.task, NOT_FINITE)

    def _keep(self, batch: Sequence[Waiting], vectors_NJ: NDArray[np.float32]) -> None:
        """Store the entries of a batch: a vector for each part of each content."""
        vectors = iter(vectors_NJ)
        for same in _by_content(batch):
            of_parts = [next(vectors) for _ in same[0].parts]
            if not np.isfinite(of_parts).all():
                for one in same:
                    self._known.pop(one.item.state.digest, None)
                    self._reject(one.item.task, NOT_FINITE)
                continue
            for item, _, entries in same:
                self._writer.put(entries, of_parts, item.task.ids)
                self._note(item, entries)
            self.done.copies += (len(same) - 1) * len(of_parts)
        self._writer.flush_if_due()

    def _note(self, item: ReadItem, entries: Sequence[Entry]) -> None:
        """Note where the vectors of a content are, or will be."""
        if item.state.size in self._twice:
            ids = [entry.item_id for entry in entries]
            self._known[item.state.digest] = Held(item.task.item.item_id, ids)

    def _copy(self, item: ReadItem, origin: Held) -> None:
        """Store an item whose content the index knows: that of a file that moved, or of another copy."""
        stored = self._writer.stored(origin.ids)
        entries = self._entries(item, [_seconds(entry) for entry, _ in stored])
        if not entries:
            return
        self._writer.put(entries, [vector_J for _, vector_J in stored], item.task.ids)
        self._writer.flush_if_due()
        if origin.item_id in self._lost:
            self.done.moved += len(stored)
        else:
            self.done.copies += len(stored)

    def _reword(self, item: ReadItem) -> None:
        times: list[Seconds] = [None]
        if item.task.item.is_cut:
            times = [_seconds(entry) for entry, _ in self._writer.stored(item.task.ids)]
        self._writer.reword(self._entries(item, times))
        self._writer.flush_if_due()

    def _reject(self, task: Task, reason: str) -> None:
        self.rejected.append(Rejected(task.item.item_id, task.item.path, reason))
        # What the index holds of a file that can no longer be read is out of date.
        self._gone += task.ids


class _Writer:
    """Entries on their way into a store: gathered for some seconds, then stored in few transactions."""

    def __init__(self, store: Store, done: Done) -> None:
        self._store, self._done = store, done
        self._new: dict[str, Stored] = {}
        self._changed: dict[str, Stored] = {}
        self._reworded: dict[str, Entry] = {}
        self._stale: list[str] = []
        self._since = monotonic()

    def put(self, entries: Sequence[Entry], vectors: Encoded, held: Sequence[str]) -> None:
        """Take all entries of an item; of those the index `held` of it, what is not among them goes."""
        there = set(held)
        for entry, vector_J in zip(entries, vectors, strict=True):
            (self._changed if entry.item_id in there else self._new)[entry.item_id] = (entry, vector_J)
        self._stale += sorted(there.difference(entry.item_id for entry in entries))

    def reword(self, entries: Sequence[Entry]) -> None:
        """Take all entries of an item that keep their vectors."""
        self._reworded |= {entry.item_id: entry for entry in entries}

    def stored(self, ids: Sequence[str]) -> list[Stored]:
        """Read entries that were put or are in the index, with their vectors."""
        there = [one for one in ids if one not in self._new and one not in self._changed]
        entries = [entry for entry in self._store.get(there) if entry is not None] if there else []
        vectors = self._store.vectors([entry.item_id for entry in entries]) if entries else ()
        found = {entry.item_id: (entry, vector) for entry, vector in zip(entries, vectors, strict=True)}
        found |= {one: self._new.get(one) or self._changed[one] for one in ids if one not in there}
        return [found[one] for one in ids if one in found]

    def flush(self) -> None:
        """Store what waits: new entries first, those that stay next, old ones last."""
        # A kill between these leaves an item with entries of two states, which the next plan sees. Were
        # old ones deleted first, it could leave the item without any entry.
        for waiting, store in ((self._new, self._store.add), (self._changed, self._store.update)):
            if waiting:
                entries, vectors = zip(*waiting.values(), strict=True)
                store(entries, np.stack(vectors))
        if self._reworded:
            self._store.update(list(self._reworded.values()))
        self._done.added += len(self._new)
        self._done.changed += len(self._changed)
        self._done.reworded += len(self._reworded)
        self.delete(self._stale)
        self._new, self._changed, self._reworded, self._stale = {}, {}, {}, []
        self._since = monotonic()

    def delete(self, ids: Sequence[str]) -> None:
        """Remove entries."""
        if ids:
            self._done.removed += self._store.delete(ids)

    def flush_if_due(self) -> None:
        """Store what waits, where it has waited long enough or is enough."""
        waiting = len(self._new) + len(self._changed) + len(self._reworded)
        if waiting >= ENTRIES or monotonic() - self._since >= SECONDS:
            self.flush()


def _by_content(batch: Sequence[Waiting]) -> list[list[Waiting]]:
    """Group a batch by what is encoded once."""
    found: dict[str, list[Waiting]] = defaultdict(list)
    for one in batch:
        found[one.item.state.digest].append(one)
    return list(found.values())


def _seconds(entry: Entry) -> Seconds:
    return None if video_of(entry) is None else (seconds_of(entry, START), seconds_of(entry, END))
