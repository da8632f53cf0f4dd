"""Plan of what makes an index agree with the items that are there: one walk over both, side by side.

Both are in the order of ids, so that of the index no more than a page is in memory, beside what is gone and
the ids of moments: those of one video need not follow one another.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from dragoman.index.entries import Held, State, frozen_state, notes_digest, text_state, video_of, walk
from dragoman.index.items import Items, MediaItem, Rejected
from dragoman.records import Entry
from dragoman.stores import Store


@dataclass(frozen=True, slots=True)
class Task:
    """An item that is new or may have changed, and what the index holds of it."""

    item: MediaItem
    held: Held | None
    """Entries that the index holds of it, if any."""
    before: State | None
    """State that these entries were made from, if the job made them, and all of them from the same."""
    is_same: bool
    """True where its vectors, or size and time of its file, are as before: only the notes are others."""
    size: int | None
    """Bytes of its file or text; None without one."""

    @property
    def ids(self) -> list[str]:
        """Entries that the index holds of it."""
        return self.held.ids if self.held else []

    def is_content(self, digest: str) -> bool:
        """Tell if the entries that the index holds of it were made from this content."""
        return self.before is not None and self.before.digest == digest


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Things to do; everything that is not named stays as it is."""

    tasks: list[Task] = field(default_factory=list)
    """Videos last."""
    gone: list[Held] = field(default_factory=list)
    """Entries whose item is no longer there."""
    rejected: list[Rejected] = field(default_factory=list)


def make_plan(items: Items, store: Store) -> Plan:
    """Compare the items that are there with what an index holds of them.

    Entries that were added another way (`Searcher.add`) are left alone, unless an item has their id.
    """
    plan = Plan(rejected=list(items.faults))
    videos = {item.item_id for item in items.walk("video")}
    held: dict[str, Held] = {}
    entries = (entry for entry in walk(store) if not _is_noted(held, entry, videos))
    entry = next(entries, None)
    for item in items.walk("image", "text"):
        while entry is not None and entry.item_id < item.item_id:
            _note_gone(plan, entry)
            entry = next(entries, None)
        found = None
        if entry is not None and entry.item_id == item.item_id:
            found = Held(entry.item_id, [entry.item_id], {entry.source})
            entry = next(entries, None)
        _compare(plan, items, item, found)
    while entry is not None:
        _note_gone(plan, entry)
        entry = next(entries, None)
    # Only now is every entry seen, and with it all moments of a video.
    for item in items.walk("video"):
        _compare(plan, items, item, held.pop(item.item_id, None))
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


def _compare(plan: Plan, items: Items, item: MediaItem, held: Held | None) -> None:
    """Note what an item needs, by what can be seen from outside of its file."""
    before = held.state if held is not None and held.fits(item.is_cut) else None
    size, is_same = None, False
    if item.is_frozen:
        is_same = before is not None and frozen_state(items.frozen(item), before.notes) == before
    elif item.text is not None and item.lang is not None:
        state = text_state(item.text, item.lang, before.notes if before is not None else "")
        size, is_same = state.size, state == before
    else:
        try:
            if item.file is not None:
                stat = item.file.stat()
                size, is_same = stat.st_size, before is not None and before.is_file(stat)
        except OSError:
            # Told with its reason by whoever reads the file.
            pass
    # What lies beside other items is read with them, once; a fault there is found then.
    if is_same and held is not None and before is not None:
        notes = items.notes(item)
        if notes_digest(notes, item.path) == before.notes:
            plan.rejected.extend(Rejected(item.item_id, item.path, fault) for fault in notes.faults)
            return
    plan.tasks.append(Task(item, held, before, is_same, size))
