"""What has to be done to make an index agree with a collection: one walk over both, side by side.

Both are in the order of ids, so that of the index no more than a page is in memory, beside what is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dragoman.index.collection import Collection, NotesError, Rejected
from dragoman.index.film import Film, note_film
from dragoman.index.state import State, notes_digest, vector_state
from dragoman.records import Entry
from dragoman.stores import Store

PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do; everything that is not named stays as it is."""

    look: list[str] = field(default_factory=list)
    """New items, and those whose file or vector may have changed."""
    before: dict[str, State] = field(default_factory=dict)
    """What entries were made from whose item must be looked at."""
    reword: dict[str, State] = field(default_factory=dict)
    """Only metadata or captions changed; with what the entries are made from."""
    there: set[str] = field(default_factory=set)
    """Items of `look` and `reword` that the index holds."""
    gone: dict[str, str] = field(default_factory=dict)
    """Entries whose item is no longer there: id to digest."""
    films: dict[str, Film] = field(default_factory=dict)
    """What the index holds of videos, by their ids."""
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.look or self.reword or self.gone)


def make_plan(collection: Collection, backend: Store) -> Plan:
    """Compare a collection with what an index holds of it.

    Entries that were added another way (`Searcher.add`) are left alone, unless their id is in the collection.
    """
    plan = Plan(rejected=list(collection.faults))
    videos = set(collection.videos)
    entries = (entry for entry in walk(backend) if not note_film(plan.films, entry, videos))
    entry = next(entries, None)
    for item_id in collection.ids:
        while entry is not None and entry.item_id < item_id:
            _note_gone(plan, entry)
            entry = next(entries, None)
        found = entry if entry is not None and entry.item_id == item_id else None
        _compare(plan, collection, item_id, found)
        if found is not None:
            entry = next(entries, None)
    while entry is not None:
        _note_gone(plan, entry)
        entry = next(entries, None)
    return plan


def walk(backend: Store) -> Iterator[Entry]:
    """All entries by id, a page at a time."""
    after = ""
    while page := backend.scan(after, PAGE):
        yield from page
        after = page[-1].item_id


def _note_gone(plan: Plan, entry: Entry) -> None:
    state = State.parse(entry.source)
    if state is not None:
        plan.gone[entry.item_id] = state.digest


def _compare(plan: Plan, collection: Collection, item_id: str, entry: Entry | None) -> None:
    """Note what an item needs, by what can be seen from outside of its file."""
    try:
        notes = notes_digest(collection.notes(item_id), collection.path(item_id))
    except NotesError as error:
        plan.rejected.append(Rejected(item_id, collection.path(item_id), str(error)))
        if entry is not None:
            _note_gone(plan, entry)
        return
    before = None if entry is None else State.parse(entry.source)
    if before is None:
        plan.look.append(item_id)
        if entry is not None:
            plan.there.add(item_id)
        return
    vector = collection.feature(item_id)
    if vector is not None:
        now = vector_state(vector, notes)
        same = (now.kind, now.digest) == (before.kind, before.digest)
    else:
        file = collection.file(item_id)
        try:
            stat = file.stat() if file is not None else None
        except OSError:
            stat = None
        same = (
            before.kind == "file"
            and stat is not None
            and (stat.st_size, stat.st_mtime_ns) == (before.size, before.changed)
        )
    if not same:
        plan.look.append(item_id)
        plan.there.add(item_id)
        plan.before[item_id] = before
    elif notes != before.notes:
        plan.there.add(item_id)
        plan.reword[item_id] = before
