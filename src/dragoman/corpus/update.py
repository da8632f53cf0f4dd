"""Update of a corpus in place: what was made of items and captions that are as they were stays.

A corpus whose inputs changed is built anew beside its place. Then translations of captions that did not
change join it, and all else that the old folder holds, such as feature sets, is linked into it, so that the
two folders can change names in one step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import Corpus
from dragoman.folders import LOCK, MANIFEST, sole_writer

SAID = ("item_id", "lang", "text")
"""Columns in which a human caption is the one that it was."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of a table that came, that are others than before, and that went."""

    added: int
    changed: int
    removed: int

    @classmethod
    def of(cls, before: Mapping[str, Hashable], now: Mapping[str, Hashable]) -> Counts:
        """Compare rows by their ids."""
        changed = sum(row != before[name] for name, row in now.items() if name in before)
        return cls(added=len(now.keys() - before), changed=changed, removed=len(before.keys() - now))

    def __str__(self) -> str:
        return f"{self.added:,} added, {self.changed:,} changed, {self.removed:,} removed"


@dataclass(frozen=True, kw_only=True)
class Update:
    """Account of an update."""

    items: Counts
    captions: Counts
    """Human captions."""
    kept: int
    """Machine captions that stay, as their source did; and descriptions, as their item did."""
    dropped: int
    """Machine captions that went."""
    follow: tuple[str, ...]
    """Commands that bring up to date what was made of the corpus."""


def update_of(old: Corpus, items: pa.Table, captions: pa.Table) -> tuple[Update, pa.Table]:
    """Compare a corpus with the tables of its next state, and return these captions with what is kept.

    Machine captions are kept with their trust where their source, and in the end a human caption, is as it
    was, descriptions where their item is still there. Where the inputs themselves have some, none is: nothing
    would tell theirs from others.
    """
    before, human = _human(old.captions), _human(captions)
    machine = old.captions.filter(pc.not_equal(old.captions["role"], "human"))
    is_own = len(human) == len(captions) and not old.manifest.get("machine")
    holds = _holds(machine, before, human, items) if is_own else [False] * len(machine)
    kept = machine.filter(pa.array(holds, pa.bool_()))
    update = Update(
        items=Counts.of(_rows(old.items, items.column_names), _rows(items, old.items.column_names)),
        captions=Counts.of(before, human),
        kept=len(kept),
        dropped=len(machine) - len(kept),
        follow=tuple(_followers(old, set(machine["role"].to_pylist()))),
    )
    # Columns that others added stay, null for what the inputs say.
    return update, pa.concat_tables([captions, kept], promote_options="default")


def _human(captions: pa.Table) -> dict[str, Hashable]:
    found = captions.filter(pc.equal(captions["role"], "human"))
    said = zip(*(found[name].to_pylist() for name in SAID), strict=True)
    return dict(zip(found["caption_id"].to_pylist(), said, strict=True))


def _holds(
    machine: pa.Table, before: Mapping[str, Hashable], now: Mapping[str, Hashable], items: pa.Table
) -> Sequence[bool]:
    """Tell of each machine caption if all that it was made of is as it was, and of each description if its
    item is there."""
    same = {name for name, said in now.items() if before.get(name) == said}
    there = pc.is_in(machine["item_id"], value_set=items["item_id"].combine_chunks())
    same |= set(
        machine.filter(pc.and_(pc.equal(machine["role"], "description"), there))["caption_id"].to_pylist()
    )
    ids, sources = (machine[name].to_pylist() for name in ("caption_id", "source_id"))
    # A generation a round: translations, ways back, and what was made of these.
    while found := {
        name for name, source in zip(ids, sources, strict=True) if source in same and name not in same
    }:
        same |= found
    return [name in same and name not in now for name in ids]


def _rows(items: pa.Table, others: Sequence[str]) -> dict[str, Hashable]:
    """Rows by item id, with a null for a column that only the other table has."""
    names = sorted({*items.column_names, *others})
    absent = [None] * len(items)
    columns = [items[name].to_pylist() if name in items.column_names else absent for name in names]
    rows = (tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*columns, strict=True))
    return dict(zip(items["item_id"].to_pylist(), rows, strict=True))


def _followers(old: Corpus, roles: Collection[str]) -> Iterator[str]:
    if not {"mt", "back"}.isdisjoint(roles):
        yield "dragoman translate"
    if "description" in roles:
        yield "dragoman describe"
    if (old.folder / "trust").is_dir():
        yield "dragoman trust"
    if any(old.features(name).manifest.get("source") != "given" for name in old.feature_names):
        yield "dragoman features"


@contextmanager
def writers_kept_out(folder: Path) -> Iterator[None]:
    """Hold all folders below one that have a writer now and then. Raises UserError where one is at work."""
    with ExitStack() as held:
        for lock in sorted(folder.rglob(LOCK)):
            if lock.parent != folder:
                held.enter_context(sole_writer(lock.parent))
        yield


def keep_rest(old: Path, new: Path, own: Sequence[str]) -> None:
    """Link into `new` what it has not of all that `old` holds, but for files that are a build's `own`.

    No byte is copied where the disk can link: files are never changed in their place, only replaced.
    """

    def left_out(folder: str, names: list[str]) -> list[str]:
        place = new / Path(folder).relative_to(old)
        # A folder that describes itself is whole, and never mixed with another.
        made = [name for name in names if (place / name).is_file() or (place / name / MANIFEST).is_file()]
        torn = [name for name in names if name.startswith(".") and name.endswith(".tmp")]
        return [*made, *torn, *((*own, LOCK, MANIFEST) if Path(folder) == old else ())]

    shutil.copytree(old, new, symlinks=True, ignore=left_out, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
