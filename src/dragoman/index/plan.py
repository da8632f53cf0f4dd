"""Plan of what makes an index agree with a collection: one walk over both, side by side.

Both are in the order of ids, so that of the index no more than a page is in memory, beside what is gone and
the ids of moments: those of one video need not follow one another.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

from dragoman.index.collection import Collection, Rejected
from dragoman.index.entries import Held, State, frozen_state, notes_digest, video_of, walk
from dragoman.media.folder import NoteError
from dragoman.records import Entry
from dragoman.stores import Store


class Task(NamedTuple):
    """An item that has to be looked at."""

    item_id: str
    held: Held | None = None
    """Entries that the index holds of it, if any."""
    before: State | None = None
    """State that these entries were made from, if the job made them, and all of them from the same."""

    @property
    def ids(self) -> list[str]:
        """Entries that the index holds of it."""
        return self.held.ids if self.held else []


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Things to do; everything that is not named stays as it is."""

    look: list[Task] = field(default_factory=list)
    """New items, and those whose file or vectors may have changed; images first."""
    reword: list[Task] = field(default_factory=list)
    """Items of which only metadata or captions changed."""
    gone: list[Held] = field(default_factory=list)
    """Entries whose item is no longer there."""
    rejected: list[Rejected] = field(default_factory=list)


def make_plan(collection: Collection, store: Store) -> Plan:
    """Compare a collection with what an index holds of it.

    Entries that were added another way (`Searcher.add`) are left alone, unless their id is in the collection.
    """
    plan = Plan(rejected=list(collection.faults))
    videos = {item_id for item_id in collection.ids if collection.kind(item_id) == "video"}
    held: dict[str, Held] = {}
    entries = (entry for entry in walk(store) if not _is_noted(held, entry, videos))
    entry = next(entries, None)
    for item_id in collection.ids:
        if item_id in videos:
            continue
        while entry is not None and entry.item_id < item_id:
            _note_gone(plan, entry)
            entry = next(entries, None)
        found = None
        if entry is not None and entry.item_id == item_id:
            found = Held(item_id, [item_id], {entry.source})
            entry = next(entries, None)
        _compare(plan, collection, item_id, found)
    while entry is not None:
        _note_gone(plan, entry)
        entry = next(entries, None)
    for item_id in sorted(videos):
        _compare(plan, collection, item_id, held.pop(item_id, None))
    plan.gone.extend(held.values())
    return plan


def _is_noted(held: dict[str, Held], entry: Entry, videos: Container[str]) -> bool:
    """Note an entry that the job made of a video, or that has the id of one of `videos`."""
    video = entry.item_id if entry.item_id in videos else video_of(entry)
    if video is None or (video != entry.item_id and State.parse(entry.source) is None):
        return False
    held.setdefault(video, Held(video)).note(entry)
    return True


def _note_gone(plan: Plan, entry: Entry) -> None:
    if State.parse(entry.source) is not None:
        plan.gone.append(Held(entry.item_id, [entry.item_id], {entry.source}))


def _compare(plan: Plan, collection: Collection, item_id: str, held: Held | None) -> None:
    """Note what an item needs, by what can be seen from outside of its file."""
    path = collection.path(item_id)
    try:
        notes = notes_digest(collection.notes(item_id), path)
    except NoteError as error:
        plan.rejected.append(Rejected(item_id, path, str(error)))
        if held is not None:
            plan.gone.append(held)
        return
    before = held.state if held is not None and held.fits(collection.is_cut(item_id)) else None
    task = Task(item_id, held, before)
    if before is None or not _is_same(collection, item_id, before):
        plan.look.append(task)
    elif notes != before.notes:
        plan.reword.append(task)


def _is_same(collection: Collection, item_id: str, before: State) -> bool:
    """Tell if the vectors, or size and time of the file, are what they were."""
    frozen = collection.frozen(item_id)
    if frozen is not None:
        return frozen_state(frozen, before.notes) == before
    file = collection.file(item_id)
    try:
        stat = file.stat() if file is not None else None
    except OSError:
        stat = None
    return (
        before.kind == "file"
        and stat is not None
        and (stat.st_size, stat.st_mtime_ns) == (before.size, before.changed)
    )
